import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from medicane_models.errors import ConfigurationError
from medicane_models.network.configuration import MedicaneConfig
from medicane_training.recipes.loading import RECIPES, as_yaml, differences, load_recipe, to_yaml

ALL = [(flow, name) for flow, named in RECIPES.items() for name in named]


def written(tmp_path, text: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def classify(*changes: str, **options):
    return load_recipe("classify", changes=changes, **{"store": "s.zarr", **options})


@pytest.mark.parametrize(
    ("flow", "batch", "epochs", "lr", "warmup", "drop_path"),
    [
        ("specialize", 96, 150, 3.75e-4, 10, 0.1),
        ("classify", 32, 500, 1.25e-7, 100, 0.1),
        ("track", 32, 300, 1e-4, 0, 0.0),
    ],
)
def test_research_values(flow, batch, epochs, lr, warmup, drop_path):
    recipe = RECIPES[flow]["research"]("s.zarr")
    optimizer = recipe.optimizer
    assert (recipe.training.global_batch, recipe.training.epochs) == (batch, epochs)
    assert (optimizer.highest_lr(batch), optimizer.warmup_epochs) == (lr, warmup)
    assert (optimizer.name, optimizer.betas, optimizer.eps) == ("adamw", (0.9, 0.95), 1e-8)
    assert optimizer.weight_decay == 0.05
    assert recipe.model.changes["drop_path_rate"] == drop_path


def test_research_losses_and_selection():
    masking = RECIPES["specialize"]["research"]("s").masking
    assert (masking.encoder, masking.decoder) == (0.75, 0.5)
    classification = RECIPES["classify"]["research"]("s").classification
    assert (classification.label_smoothing, classification.select_by) == (0.1, "balanced_accuracy")
    tracking = RECIPES["track"]["research"]("s")
    assert (tracking.optimizer.schedule, tracking.tracking.select_by) == ("constant", "loss")
    assert tracking.model.changes["center_scale_px"] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "change", "told"),
    [
        ({"seed": 1}, "training.seed=2", "--seed is 1 and --set makes training.seed 2"),
        ({"device": "cpu"}, "engine.device=cuda", "--device is cpu and --set makes engine.device"),
        ({"store": "a"}, "data.store=b", "--data is a and --set makes data.store b"),
        ({"init": "a/b"}, "model.init=c/d", "--init is a/b and --set makes model.init c/d"),
        ({"init": "a/b"}, "model.preset=tiny", "--init is a/b and --set makes model.init null"),
    ],
)
def test_an_option_and_a_change_that_say_different_things_are_refused(options, change, told):
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        classify(change, **options)


def test_an_option_and_a_change_may_say_the_same():
    assert classify("training.seed=2", seed=2).training.seed == 2


def test_a_revision_belongs_to_the_initial_model(tmp_path):
    file = written(tmp_path, "model: {init: a/b, init_revision: v1}")
    assert classify(file=file).model.init_revision == "v1"
    assert classify(file=file, init="c/d").model.init_revision is None
    assert classify("model.preset=tiny", file=file).model.init_revision is None
    assert classify(init="c/d", revision="v2").model.init_revision == "v2"
    with pytest.raises(ConfigurationError, match=r"there is no model\.init"):
        classify(revision="v2")


def test_videomaev2_values():
    pretraining = RECIPES["specialize"]["videomaev2"]("s")
    assert pretraining.optimizer.highest_lr(256) == 1e-3
    assert (pretraining.training.epochs, pretraining.optimizer.warmup_epochs) == (200, 20)
    assert (pretraining.masking.encoder, pretraining.masking.decoder) == (0.9, 0.5)
    tuning = RECIPES["classify"]["videomaev2"]("s")
    assert tuning.optimizer.highest_lr(256) == 7e-4
    assert (tuning.optimizer.layer_decay, tuning.optimizer.betas) == (0.75, (0.9, 0.999))
    assert (tuning.classification.mixup, tuning.classification.cutmix) == (0.8, 1.0)


@pytest.mark.parametrize(("flow", "name"), ALL)
def test_every_recipe_is_repeated_by_its_run_file(flow, name, tmp_path):
    recipe = RECIPES[flow][name]("s.zarr")
    run = written(tmp_path, to_yaml(recipe) + "run:\n  started: 2026-01-01T00:00:00Z\n")
    assert load_recipe(flow, file=run) == recipe


@pytest.mark.parametrize(("flow", "name"), ALL)
def test_every_recipe_describes_a_model_whose_patches_its_masks_fit(flow, name):
    recipe = RECIPES[flow][name]("s.zarr")
    preset = recipe.model.preset or "base"
    config = MedicaneConfig.preset(preset, task=recipe.task, **recipe.model.changes)
    _, rows, columns = config.token_grid
    running_cells = flow == "specialize" and recipe.masking.decoder > 0
    assert rows % 2 == columns % 2 == 0 or not running_cells


@pytest.mark.parametrize(("flow", "name"), ALL)
def test_every_recipe_shows_where_its_values_come_from(flow, name):
    assert any(
        word in RECIPES[flow][name].__doc__
        for word in ("research", "VideoMAEv2", "ur own", "tests")
    )


def test_a_named_recipe_with_nothing_changed():
    assert classify(name="tiny") == RECIPES["classify"]["tiny"]("s.zarr")
    assert classify() == RECIPES["classify"]["laptop"]("s.zarr")


def test_a_file_changes_what_it_says(tmp_path):
    file = written(tmp_path, "training: {epochs: 3}\noptimizer:\n  lr: 1e-3\n")
    assert differences(classify(file=file), classify()) == [
        "optimizer.lr is 0.001, the run has 0.0005",
        "training.epochs is 3, the run has 15",
    ]


def test_what_is_typed_goes_over_the_file(tmp_path):
    file = written(tmp_path, "data: {store: there.zarr}\ntraining: {epochs: 3, seed: 1}\n")
    recipe = classify("training.epochs=4", file=file)
    assert (recipe.data.store, recipe.training.epochs, recipe.training.seed) == ("s.zarr", 4, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("optimizer.lr=1e-5", 1e-5),
        ("optimizer.betas=[0.8, 0.9]", (0.8, 0.9)),
        ("data.augmentation=null", None),
        ("data.split.fractions=[0.5, 0.25, 0.25]", (0.5, 0.25, 0.25)),
        ("engine.compile=true", True),
        ("model.changes.depth=4", 4),
        ("classification.class_weights=[1, 5]", (1.0, 5.0)),
        ("classification.class_weights=balanced", "balanced"),
        ("classification.keep=[logits, embeddings]", ("logits", "embeddings")),
        ("model.changes.id2label={0: none, 1: medicane}", {0: "none", 1: "medicane"}),
    ],
)
def test_set_reads_yaml(change, expected):
    value = classify(change)
    for name in change.partition("=")[0].split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    assert value == expected
    assert type(value) is type(expected)


def test_dates_stay_text():
    split = classify(
        "data.split.by=dates",
        "data.split.validation_from=2020-01-01",
        "data.split.test_from=2021-01-01",
    ).data.split
    assert split.test_from == "2021-01-01"


def test_one_entry_of_a_mapping_is_changed_and_the_others_kept():
    before = RECIPES["classify"]["laptop"]("s.zarr").model.changes
    assert classify("model.changes.depth=4").model.changes == {**before, "depth": 4}
    assert classify("model.changes={depth: 4}").model.changes == {"depth": 4}


def test_a_section_that_is_null_gets_its_defaults_back(tmp_path):
    file = written(tmp_path, "data: {augmentation: null}")
    augmentation = classify("data.augmentation.mirror=0.5", file=file).data.augmentation
    default = RECIPES["classify"]["laptop"]("s").data.augmentation
    assert augmentation == dataclasses.replace(default, mirror=0.5)


def test_an_initial_model_brings_its_own_size():
    model = load_recipe("track", init="runs/detector", store="s").model
    assert (model.preset, model.init) == (None, "runs/detector")
    assert model.changes == {"head": "heatmap"}


def test_a_preset_takes_the_place_of_an_initial_model(tmp_path):
    file = written(tmp_path, "model: {init: runs/detector}")
    assert classify("model.preset=small", file=file).model.init is None


def test_a_rate_for_256_clips_takes_the_place_of_the_other():
    assert classify("optimizer.lr_per_256=1e-3").optimizer.lr is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "training.epoch=3",
            r"training.epoch is no setting \(did you mean epochs\?\); training has",
        ),
        ("nothing.of.this=1", "nothing is no setting; a recipe has model, data"),
        ("optimizer.lr.x.y=1", r"optimizer.lr is \{'x': \{'y': 1\}\}; give a number or null"),
        ("masking.encoder=0.5", "masking is no setting; a recipe has model, data"),
        ("training.epochs='3'", "training.epochs is '3'; give a whole number"),
        ("training.epochs=3.0", "training.epochs is 3.0; give a whole number"),
        ("training.epochs=true", "training.epochs is True; give a whole number"),
        ("engine.compile='false'", "engine.compile is 'false'; give true or false"),
        ("engine.compile=1", "engine.compile is 1; give true or false"),
        ("engine.precision=fp8", "engine.precision is 'fp8'; give fp32, bf16 or fp16"),
        ("optimizer.lr=fast", "optimizer.lr is 'fast'; give a number or null"),
        ("optimizer.lr=.nan", "optimizer.lr is nan; give a number or null"),
        ("optimizer.betas=[0.9]", r"optimizer.betas is \[0.9\]; give a list of 2, each a number"),
        ("optimizer=adamw", "optimizer is adamw; give settings of it: name, lr"),
        ("optimizer=null", "optimizer is null; give settings of it: name, lr"),
        ("data.store=2020", "data.store is 2020; give text"),
        ("data.shares=[1]", r"data.shares is \[1\]; give a mapping or null"),
        ("data.augmentation.mirror=2", "data.augmentation.mirror is 2"),
        ("classification.keep=logits", "keep is 'logits'; give a list, each predictions, logits"),
        ("model.changes.depth=deep", "model.changes.depth is 'deep'; give a whole number"),
        ("model.changes.head=heatmap", "model.changes.head means nothing for classification"),
        ("training.epochs", "is not of the form a.b=value"),
        ("training.epochs=", "for no value write a.b=null"),
        ("data.split.fractions=[1", "is no YAML"),
    ],
)
def test_what_is_unknown_or_wrong_is_named_with_the_remedy(change, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        classify(change)
    assert str(raised.value).startswith(f"--set {change}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", "training.epoch is no setting"),
        ("training: {epochs: x}", "training.epochs is 'x'"),
        ("training: 3", "training is 3; give settings of it"),
        ("flow: track", "is a recipe to track, not to classify"),
        ("- 1", "holds no settings"),
        ("training: {epochs: 3, epochs: 4}", "epochs is given twice"),
        ("training: {epochs: 3", "is no YAML"),
        ("data: {split: {by: storm, folds: 3}}", "data.split.by storm does not read folds"),
    ],
)
def test_a_file_that_is_wrong_is_named(text, message, tmp_path):
    file = written(tmp_path, text)
    with pytest.raises(ConfigurationError, match=message) as raised:
        classify("training.seed=1", file=file)
    assert str(raised.value).startswith(str(file))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store": None}, "no clip store is given; name one with --data STORE"),
        ({"name": "tinny"}, r"classify has no recipe tinny \(did you mean tiny\?\)"),
        ({"file": "absent.yaml"}, "absent.yaml cannot be read"),
    ],
)
def test_what_is_missing_is_asked_for(options, message):
    with pytest.raises(ConfigurationError, match=message):
        classify(**options)


def test_recipes_of_different_flows_differ_by_their_flow():
    told = differences(RECIPES["track"]["tiny"]("s"), RECIPES["classify"]["tiny"]("s"))
    assert told[0] == "flow is track, the run has classify"


def test_text_that_looks_like_a_number_survives(tmp_path):
    recipe = classify(store="1e-3")
    assert load_recipe("classify", file=written(tmp_path, to_yaml(recipe))) == recipe


@pytest.mark.parametrize("commit", ["29253e29cb6582fd-dirty", "12345678e9", "1e-3x", "7"])
def test_a_commit_that_looks_like_a_number_survives(tmp_path, commit):
    text = to_yaml(classify(store="s")) + as_yaml({"run": {"commit": commit}})
    assert load_recipe("classify", file=written(tmp_path, text)) == classify(store="s")
    assert yaml.safe_load(text)["run"]["commit"] == commit


def test_yaml_is_read_by_others():
    document = yaml.safe_load(to_yaml(RECIPES["classify"]["research"]("s")))
    assert document["optimizer"]["lr"] == 1.25e-7


def test_the_readme_lists_every_setting():
    readme = (Path(__file__).parents[3] / "training" / "README.md").read_text()
    table = readme.partition("<!-- settings -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    listed = {}
    for section, *settings in (re.findall(r"`([a-z_0-9.]+)`", row) for row in table):
        listed[section] = settings
    kept = {}
    for named in RECIPES.values():
        for name, section in vars(named["laptop"]("s")).items():
            kept[name] = [item.name for item in dataclasses.fields(section)]
            for inner, value in vars(section).items():
                if dataclasses.is_dataclass(value):
                    kept[f"{name}.{inner}"] = [item.name for item in dataclasses.fields(value)]
    assert listed == kept


def test_the_readme_names_every_recipe():
    readme = (Path(__file__).parents[3] / "training" / "README.md").read_text()
    table = readme.partition("| `--recipe` |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in table]
    listed = {
        name: set(RECIPES) if flows == "all" else set(flows.split(", ")) for name, _, flows in cells
    }
    assert listed == {
        name: {flow for flow in RECIPES if name in RECIPES[flow]}
        for name in {name for _, name in ALL}
    }


LAUGHS = "x: &a [y, y, y, y, y, y, y, y, y]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [touch here]\n",
        "training: !!python/object/apply:os.system [touch here]\n",
        "training: {epochs: !!float x}\n",
        LAUGHS,
        "training: {epochs: [" + ", ".join(LAUGHS.splitlines()).replace("x: ", "") + "]}\n",
        f"training: {{epochs: {'9' * 5000}}}\n",
        "training:\n  epochs: &x [*x]\n",
        "[" * 100_000,
        "\0",
    ],
)
def test_yaml_that_means_harm_is_refused_in_a_sentence(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"mine\.yaml") as told:
        classify(file=written(tmp_path, text))
    assert len(str(told.value)) < 1000
    assert not Path("here").exists()
