"""Complete recipes from a name, a YAML file and ``--set``; and back to YAML."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import yaml

from medicane_models.choices import DeviceName
from medicane_models.errors import ConfigurationError
from medicane_models.files import read_bytes
from medicane_training.recipes.kinds import FlowName, Recipe
from medicane_training.recipes.model_fields import SIZE_FIELDS, did_you_mean
from medicane_training.recipes.named import DEFAULT_RECIPE, RECIPES
from medicane_training.recipes.typed import WrongValueError, structured

__all__ = [
    "DEFAULT_RECIPE",
    "RECIPES",
    "RUN_FILE",
    "RUN_KEY",
    "as_yaml",
    "differences",
    "load_recipe",
    "recipe_file",
    "to_yaml",
]

RUN_FILE = "run.yaml"
"""Where a run keeps its recipe."""

RUN_KEY = "run"
"""What a run adds to its recipe: when and with which versions it was carried out."""

RIVALS = (
    ("model", "preset", "init"),
    ("model", "preset", "init_revision"),
    ("optimizer", "lr", "lr_per_256"),
)
"""Settings of a section of which one stands for the other: giving one takes the other away."""

DOTTED = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)+")
"""A setting as errors name it."""

Plain = dict[str, Any]
_ABSENT = object()
LONGEST = 300  # text of a value that errors show


def load_recipe(
    flow: FlowName,
    *,
    name: str | None = None,
    file: str | Path | None = None,
    changes: Sequence[str] = (),
    init: str | None = None,
    revision: str | None = None,
    store: str | None = None,
    device: DeviceName | None = None,
    seed: int | None = None,
) -> Recipe:
    """A named recipe with what is given changed, each over the one before.

    An initial model takes the place of a preset, and of the sizes that were changed with it.

    Args:
        flow: of the recipe.
        name: one of ``RECIPES[flow]``; None is the laptop's.
        file: YAML with some of its settings, or the ``run.yaml`` of a run, which repeats it.
        init: ``model.init``.
        revision: ``model.init_revision``.
        store: ``data.store``.
        device: ``engine.device``.
        seed: ``training.seed``.
        changes: ``a.b=c`` each, with c as in YAML; they may not say other than the options before.

    Raises:
        ConfigurationError: naming the file or option, the setting and its value, if one is unknown,
            unused or wrong.
    """
    draft = _Draft.of(_named(flow, name or DEFAULT_RECIPE))
    if file is not None:
        draft = draft.changed(_settings_of(Path(file), flow), source=str(file))
    options = (
        ("--init", "model", "init", init),
        ("--revision", "model", "init_revision", revision),
        ("--data", "data", "store", store),
        ("--device", "engine", "device", device),
        ("--seed", "training", "seed", seed),
    )
    given = [option for option in options if option[-1] is not None]
    for option, section, key, value in given:
        draft = draft.changed({section: {key: value}}, source=f"{option} {value}")
    for change in changes:
        draft = draft.changed(draft.parsed(change), source=f"--set {change}")
    recipe = draft.recipe()
    for option, section, key, value in given:
        if (other := draft.values[section][key]) != value:
            raise ConfigurationError(
                f"{option} is {value} and --set makes {section}.{key} {_text(other)}; give one of "
                "the two"
            )
    return recipe


def recipe_file(*runs: Path) -> Path | None:
    """The recipe of the first that is the folder of a run, or a checkpoint in one."""
    places = [place / RUN_FILE for run in runs for place in (run, run.absolute().parents[1])]
    return next((place for place in places if place.is_file()), None)


def to_yaml(recipe: Recipe) -> str:
    """All settings, from which :func:`load_recipe` makes an equal recipe."""
    return as_yaml({"flow": recipe.flow, **asdict(recipe)})


def as_yaml(document: Mapping[str, Any]) -> str:
    """Text of which every value is read as it was, such as a commit 12345678e9."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def differences(recipe: Recipe, former: Recipe) -> list[str]:
    """A clause on every setting that differs: ``training.epochs is 3, the run has 2``."""
    here, there = ({"flow": one.flow, **asdict(one)} for one in (recipe, former))
    return list(_differing(here, there))


def _differing(here: Mapping[str, Any], there: Mapping[str, Any], keys: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*here, *there]):
        one, other = here.get(name, _ABSENT), there.get(name, _ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differing(one, other, f"{keys}{name}.")
        elif one != other:
            yield f"{keys}{name} is {_text(one)}, the run has {_text(other)}"


@dataclass(frozen=True)
class _Draft:
    """Settings as YAML has them, before they are checked together.

    Attributes:
        kind: of the recipe that they will be.
        values: all settings.
        layers: what was laid over the named recipe, each with its source.
    """

    kind: type[Recipe]
    values: Plain
    layers: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @classmethod
    def of(cls, recipe: Recipe) -> "_Draft":
        return cls(type(recipe), asdict(recipe))

    def changed(self, layer: Mapping[str, Any], *, source: str) -> "_Draft":
        """With other settings over these ones."""
        try:
            values = _overlaid(self.kind, _without_rivals(self.values, layer), layer)
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error}") from None
        return _Draft(self.kind, values, (*self.layers, (source, layer)))

    def parsed(self, change: str) -> Plain:
        """The layer that ``a.b=c`` is; below a mapping such as model.changes it changes one key."""
        key, equals, text = change.partition("=")
        if not key.strip() or not equals or not text.strip():
            raise ConfigurationError(
                f"--set {change} is not of the form a.b=value; for no value write a.b=null"
            )
        names, value = key.strip().split("."), _parse(text, f"--set {change}")
        if self._in_mapping(names):
            *names, name = names
            value = {**(self._at(names) or {}), name: value}
        for name in reversed(names):
            value = {name: value}
        return value

    def _in_mapping(self, names: Sequence[str]) -> bool:
        """Whether this is an entry of a setting such as ``model.changes``."""
        kind: Any = self.kind
        for name in names[:-1]:
            if _section(kind) is None or name not in _types(_section(kind)):
                return False
            kind = _types(_section(kind))[name]
        return _section(kind) is None and isinstance(self._at(names[:-1]) or {}, Mapping)

    def _at(self, names: Sequence[str]) -> Any:
        value: Any = self.values
        for name in names:
            value = (value or {})[name]
        return value

    def recipe(self) -> Recipe:
        """The recipe, if its settings go together."""
        if not self.values["data"]["store"]:
            raise ConfigurationError("no clip store is given; name one with --data STORE")
        try:
            return structured(self.values, self.kind)
        except WrongValueError as error:
            source = self._source(error)
            raise ConfigurationError(f"{source}: {error}" if source else str(error)) from None

    def _source(self, error: WrongValueError) -> str:
        """The last layer that says something about a setting that the error names."""
        named = [name.split(".") for name in DOTTED.findall(str(error))] or [error.keys]
        for source, layer in reversed(self.layers):
            if any(_holds(layer, keys) for keys in named):
                return source
        return ""


def _holds(layer: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(layer, Mapping) or key not in layer:
            return False
        layer = layer[key]
    return True


def _named(flow: FlowName, name: str) -> Recipe:
    if flow not in RECIPES:
        raise ConfigurationError(f"no flow is called {flow}; choose {', '.join(RECIPES)}")
    if name not in RECIPES[flow]:
        raise ConfigurationError(
            f"{flow} has no recipe {name}{did_you_mean(name, RECIPES[flow])}; choose "
            f"{', '.join(RECIPES[flow])}"
        )
    return RECIPES[flow][name]("")


def _settings_of(file: Path, flow: FlowName) -> Plain:
    """A file's settings, without what a run has added to them."""
    try:
        text = read_bytes(file).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({error}); give a YAML file") from None
    settings = _parse(text, str(file))
    if not isinstance(settings, dict):
        raise ConfigurationError(
            f"{file} holds no settings; write them like training: {{epochs: 3}}"
        )
    settings.pop(RUN_KEY, None)
    if (theirs := settings.pop("flow", flow)) != flow:
        raise ConfigurationError(f"{file} is a recipe to {theirs}, not to {flow}; choose another")
    return settings


def _overlaid(kind: type, values: Plain, layer: Mapping[str, Any], keys: str = "") -> Plain:
    types, result = _types(kind), dict(values)
    for name, value in layer.items():
        key = f"{keys}{str(name)[:60]}"
        if name not in types:
            raise ConfigurationError(
                f"{key} is no setting{did_you_mean(str(name), types)}; {keys[:-1] or 'a recipe'} "
                f"has {', '.join(types)}"
            )
        section = _section(types[name])
        if section is None or (value is None and NoneType in get_args(types[name])):
            result[name] = value
        elif isinstance(value, Mapping):
            result[name] = _overlaid(section, result[name] or {}, value, f"{key}.")
        else:
            raise ConfigurationError(
                f"{key} is {_text(value)}; give settings of it: {', '.join(_types(section))}"
            )
    return result


def _without_rivals(values: Plain, layer: Mapping[str, Any]) -> Plain:
    """Without the settings that others in the layer take the place of."""
    values = dict(values)
    for section, *rivals in RIVALS:
        given = layer.get(section)
        for one, other in (rivals, rivals[::-1]):
            if isinstance(given, Mapping) and given.get(one) is not None and other not in given:
                values[section] = values[section] | {other: None}
                if one == "init":
                    changes = _without_sizes(values[section]["changes"])
                    values[section] |= {"changes": changes, "init_revision": None}
    return values


def _without_sizes(changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    return {name: value for name, value in changes.items() if name not in SIZE_FIELDS}


def _types(kind: type) -> dict[str, Any]:
    return {item.name: item.type for item in fields(kind)}


def _section(kind: Any) -> Any:
    """The dataclass that a setting's own settings belong to; None for a plain setting."""
    return next((one for one in (kind, *get_args(kind)) if is_dataclass(one)), None)


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "not set"
    dumped = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=1000)
    text = dumped.removesuffix("...\n").strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


SCIENTIFIC = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
FLOAT, TIME = "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number and dates as text, and refuses a key that comes twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the class above has it
        first: [(tag, form) for tag, form in resolvers if tag != TIME]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise yaml.MarkedYAMLError(
                problem=f"{twice[0]} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what _Loader would read as something else."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(FLOAT, SCIENTIFIC, list("-+0123456789"))


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"{source} is no YAML ({told}); correct it") from None
