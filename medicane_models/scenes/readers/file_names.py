"""What the name of a raw satellite file tells: its reader in satpy, satellite, sector, part, time.

Nothing is opened and nothing heavy imported, so that a folder of thousands is looked through fast.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, Literal

from medicane_models.errors import ConfigurationError, SceneError

__all__ = ["FORMS", "FileName", "Form", "check_reader", "form_of", "readers_of", "told_by_name"]

FULL_CYCLE, QUARTER_CYCLE = timedelta(minutes=10), timedelta(minutes=2.5)  # FCI's


@dataclass(frozen=True, kw_only=True)
class Form:
    """The names that one reader of satpy takes.

    Attributes:
        patterns: regular expressions with the groups satellite, sector, band, segment, of (how
            many segments), time, end and cycle, as far as the names have them.
        time_format: of the groups time and end, without what parts them.
        segments: how many a whole image has, where names do not tell.
        first_segment: at which edge segment 1 lies; None if that is not known.
        needed: segments without which none can be read.
        scans: which way the instrument goes over the rows; None if that is not known.
        tells_scan: whether satpy's start_time and end_time are those of the scan, not nominal.
        is_whole_scan: whether times are of the whole scan, whichever segments are there.
        is_read_here: whether this package reads such files itself, unless satpy is asked for.
    """

    patterns: tuple[str, ...]
    time_format: str = "%Y%m%d%H%M"
    segments: int = 1
    first_segment: Literal["north", "south"] | None = None
    needed: tuple[str, ...] = ()
    scans: Literal["northward", "southward"] | None = None
    tells_scan: bool = False
    is_whole_scan: bool = False
    is_read_here: bool = False

    def match(self, name: str) -> re.Match[str] | None:
        """The groups of a name; None if it has another form."""
        return next(filter(None, (re.fullmatch(each, name) for each in self.patterns)), None)


@dataclass(frozen=True, kw_only=True)
class FileName:
    """One name, taken apart; what it does not tell is empty.

    Attributes:
        part: what makes it another file than the rest of its slot: band, segment.
        time: nominal start of the slot, UTC, or what else the name has instead.
        scan: start and end of the scan, or of this segment's part of it.
    """

    satellite: str
    sector: str
    band: str
    segment: str
    segments: int
    time: datetime
    scan: tuple[datetime, datetime] | None

    @property
    def part(self) -> str:
        """Band and segment, as messages call them."""
        return "-".join(filter(None, (self.band, self.segment)))


def _form(*patterns: str, **facts: Any) -> Form:
    return Form(patterns=patterns, **facts)


_SEVIRI = {"scans": "northward", "is_whole_scan": True}
_ABI = {"time_format": "%Y%j%H%M%S", "scans": "southward", "is_read_here": True}
_ABI_NAME = (
    r"(?P<sector>F|C|M\d)-M\d(?P<band>C\d\d)?_(?P<satellite>G\d\d)"
    r"_s(?P<time>\d{13})\d_e(?P<end>\d{13})\d_c\d{14}.*\.nc"
)
_AGRI = {"time_format": "%Y%m%d%H%M%S", "scans": "southward"}
_AGRI_NAME = (
    r"-_AGRI--_N_(?P<sector>[A-Z]+)_\d{4}E_L1-_(?P<band>FDI|GEO)-_MULT_NOM_(?P<time>\d{14})"
    r"_(?P<end>\d{14})_(?P<segment>\d{4}M)_\w+\.HDF"
)
_JMA = {"segments": 10, "scans": "southward", "tells_scan": True}
_JMA_NAME = r"IMG_DK(?P<sector>\d\d)(?P<band>{})_(?P<time>\d{{12}})(_(?P<segment>\d{{3}}))?(\.bz2)?"
_OF_ANY_JMA = _JMA_NAME.format(r"IR\d|VIS")  # Himawari's and both MTSATs' alike
_MTSAT_NAME = r"HRIT_{}_(?P<time>\d{{8}}_\d{{4}})_DK(?P<sector>\d\d)(?P<band>IR\d|VIS)(\.gz)?"

FORMS = {
    "seviri_l1b_hrit": _form(
        r"H-000-MSG\d__-(?P<satellite>MSG\d_\w{7})-(?P<band>\w{9})"
        r"-(?P<segment>\d{6}|PRO___|EPI___)___-(?P<time>\d{12})-(__(\.bz2)?|C_)",
        segments=8, first_segment="south", needed=("PRO", "EPI"), **_SEVIRI,
    ),
    "seviri_l1b_native": _form(
        r"(?P<satellite>MSG\d)-SEVI-MSG15-\d{4}-NA-(?P<time>\d{14})\.\d+Z-.*",
        time_format="%Y%m%d%H%M%S", **_SEVIRI,
    ),
    "seviri_l1b_nc": _form(
        r"W_XX-EUMETSAT-.*,(?P<satellite>MSG\d)\+SEVIRI_C_EUMG_(?P<time>\d{14})\.nc",
        time_format="%Y%m%d%H%M%S", **_SEVIRI,
    ),
    "fci_l1c_nc": _form(
        r"W_XX-EUMETSAT-.*,(?P<satellite>MTI\d)[+-]FCI-1C-RRAD-(?P<band>\w+)-(?P<sector>FD|Q\d)-.*"
        r"-BODY-.*_(?P<time>\d{14})_(?P<end>\d{14})_\w*?_(?P<cycle>\d{4})_(?P<segment>\d{4})\.nc",
        r"W_XX-EUMETSAT-.*,(?P<satellite>MTI\d)[+-]FCI-1C-RRAD-\dKM-(?P<sector>AF)-(?P<band>\w+?)-.*"
        r"_(?P<time>\d{14})_(?P<end>\d{14})_\w*?_(?P<cycle>\d{4})_\d{4}\.nc",
        time_format="%Y%m%d%H%M%S", segments=40, scans="northward",
    ),
    "abi_l1b": _form(r"OR_ABI-L1b-Rad" + _ABI_NAME, **_ABI),
    "abi_l2_nc": _form(r"OR_ABI-L2-M?CMIP" + _ABI_NAME, **_ABI),
    "ahi_hsd": _form(
        r"HS_(?P<satellite>H\d\d)_(?P<time>\d{8}_\d{4})_(?P<band>B\d\d)_(?P<sector>\w{4})_R\d\d"
        r"_S(?P<segment>\d\d)(?P<of>\d\d)\.DAT(\.bz2)?",
        first_segment="north", scans="southward",
    ),
    "ahi_hrit": _form(_JMA_NAME.format(r"B\d\d"), _OF_ANY_JMA, **_JMA),
    "jami_hrit": _form(_MTSAT_NAME.format("MTSAT1"), _OF_ANY_JMA, **_JMA),
    "mtsat2-imager_hrit": _form(_MTSAT_NAME.format("MTSAT2"), _OF_ANY_JMA, **_JMA),
    "ahi_l1b_gridded_bin": _form(
        r"(?P<time>\d{12})\.(?P<band>(ext|vis|sir|tir)\.\d\d)\.(?P<sector>\w+)\.geoss(\.bz2)?",
    ),
    "ami_l1b": _form(
        r"(?P<satellite>gk2a)_ami_le1b_(?P<band>[a-z]{2}\d{3})_(?P<sector>[a-z]{2})\d{3}\w*"
        r"_(?P<time>\d{12})\.nc",
        scans="southward", tells_scan=True,
    ),
    "agri_fy4a_l1": _form(r"(?P<satellite>FY4A)" + _AGRI_NAME, **_AGRI),
    "agri_fy4b_l1": _form(r"(?P<satellite>FY4B)" + _AGRI_NAME, **_AGRI),
    "insat3d_img_l1b_h5": _form(
        r"(?P<satellite>3[DRS])IMG_(?P<time>\d\d[A-Z]{3}\d{4}_\d{4})_L1B_STD_V01R00\.h5",
        time_format="%d%b%Y%H%M", scans="southward", tells_scan=True,
    ),
    "goes-imager_hrit": _form(
        r"L-000-MSG\d__-(?P<satellite>GOES\d\d)_{6}-(?P<band>\d\d_\d)_\w{4}"
        r"-(?P<segment>\w{9})-(?P<time>\d{12})-(__|C_)",
        segments=7, scans="southward",
    ),
    "goes-imager_nc": _form(
        r"(?P<satellite>goes\d\d)\.(?P<time>\d{4}\.\d{3}\.\d{6})\.BAND_(?P<band>\d\d)\.nc",
        time_format="%Y%j%H%M%S", scans="southward", tells_scan=True,
    ),
    "mviri_l1b_fiduceo_nc": _form(
        r"(FIDUCEO_FCDR_L15_MVIRI|MVIRI_FCDR-(EASY|FULL)_L15)_(?P<satellite>MET\d)-[E\d.]+"
        r"_(?P<time>\d{12})_\d{12}_.*\.nc",
        scans="northward",
    ),
}  # fmt: skip
"""By satpy's name of the reader.

Names are satpy's (its etc/readers). The way over the rows is what the operators describe: from the
south EUMETSAT's (MSG Level 1.5 Image Data Format Description, MTG FCI Level 1 Product User Guide),
from the north those of NOAA (GOES-R Product User Guide, GOES DataBook), JMA, KMA, NSMC and ISRO.
"""

OTHER = _form(r".*?(?<!\d)(?P<time>\d{8}[_-]?\d{4}).*")
"""Names that a reader takes which is not in the table: all files of one time are one image."""


def form_of(reader: str) -> Form:
    """What is known of a reader's files."""
    return FORMS.get(reader, OTHER)


def check_reader(name: str | None) -> None:
    """Refuse what is no reader of satpy; without satpy that is left to who reads.

    Raises:
        ConfigurationError: naming those that are spelled most alike.
    """
    if name is None or name in FORMS or find_spec("satpy") is None:
        return
    from difflib import get_close_matches

    import satpy
    import yaml

    # a plain loader imports no reader, so that those whose packages are absent are known, too
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    available: Any = satpy.available_readers  # pyright: ignore[reportPrivateImportUsage]
    names: list[str] = available(yaml_loader=loader)
    if name not in names:
        near = get_close_matches(name, names, n=5, cutoff=0.5) or sorted(FORMS)
        raise ConfigurationError(
            f"the reader {name} is none of satpy's; choose another, such as {', '.join(near)}"
        )


def readers_of(name: str) -> list[str]:
    """The readers of satpy that a file of this name is for, unless this package reads it itself."""
    forms = ((reader, form) for reader, form in FORMS.items() if not form.is_read_here)
    return [reader for reader, form in forms if form.match(name)]


def told_by_name(name: str, reader: str) -> FileName | None:
    """What a name tells; None if it is none of the reader's.

    Raises:
        SceneError: if it holds an impossible time.
    """
    form = form_of(reader)
    match = form.match(name)
    if match is None:
        return None
    told = {key: value or "" for key, value in match.groupdict().items()}
    if form is OTHER:
        told["band"] = name
    time = _time(told["time"], form, name)
    return FileName(
        satellite=told.get("satellite", ""),
        sector=told.get("sector", ""),
        band=told.get("band", ""),
        segment=told.get("segment", "").strip("_"),
        segments=int(told.get("of") or form.segments),
        time=_slot_start(told, time),
        scan=(time, _time(told["end"], form, name)) if "end" in told else None,
    )


def _slot_start(told: Mapping[str, str], time: datetime) -> datetime:
    """FCI's names have the time of a chunk, and the number of the cycle in the day."""
    if "cycle" not in told:
        return time
    lasts = QUARTER_CYCLE if told["sector"].startswith("Q") else FULL_CYCLE
    into_day = (int(told["cycle"]) - 1) * lasts
    midnight = datetime(time.year, time.month, time.day)
    starts = [midnight + timedelta(days) + into_day for days in (-1, 0, 1)]
    return min(starts, key=lambda start: abs(start - time))  # a chunk may be of the next day


def _time(text: str, form: Form, name: str) -> datetime:
    try:
        return datetime.strptime(re.sub("[._-]", "", text), form.time_format)
    except ValueError:
        raise SceneError(f"{name} holds the time {text}, which is none; correct its name") from None
