"""HTML and SVG whose texts and attributes are escaped, whatever they hold."""

from typing import Any
from xml.etree import ElementTree as ET

__all__ = ["markup", "node"]


def node(tag: str, *content: "ET.Element | str | None", **attributes: Any) -> ET.Element:
    """An element with texts and elements inside, as far as they are not None.

    Names of attributes are written with _ for -, and with one at the end where Python has the word;
    True stands for an attribute without a value, None and False for one that is not there.
    """
    element = ET.Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            text = "" if value is True else _text(value)
            element.set(name.rstrip("_").replace("_", "-"), text)
    for part in content:
        if isinstance(part, str):
            _append_text(element, part)
        elif part is not None:
            element.append(part)
    return element


def markup(*elements: ET.Element) -> str:
    """Elements as text."""
    return "\n".join(ET.tostring(element, "unicode", "html") for element in elements)


def _text(value: Any) -> str:
    """Numbers to two decimals, as short as they are."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)


def _append_text(element: ET.Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text
