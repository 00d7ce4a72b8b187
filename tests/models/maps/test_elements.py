from medicane_models.maps.elements import markup, node


def test_texts_and_attributes_are_escaped():
    made = markup(node("p", "<b> & ", node("i", "</p>"), " end", title='"><script>'))
    assert made.startswith('<p title="&quot;&gt;')
    assert made.endswith("&lt;b&gt; &amp; <i>&lt;/p&gt;</i> end</p>")


def test_names_of_attributes_are_those_of_html():
    made = markup(node("g", class_="a", stroke_width=1.5, x=2.0, hidden=True, open=False, id=None))
    assert made == '<g class="a" stroke-width="1.5" x="2" hidden=""></g>'
