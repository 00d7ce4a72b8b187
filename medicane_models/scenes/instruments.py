"""Geostationary imagers and the products made of them: bands, names in files, positions, times."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from medicane_models.domain.projections import nearest_turn

__all__ = [
    "IMAGERS",
    "SEVIRI",
    "Channel",
    "Imager",
    "band_text",
    "bands_at",
    "candidates",
    "imager_of",
    "meanings",
    "sensor_of_names",
    "sensor_of_text",
]

NEAR_DEGREES = 3.0  # how far from its usual longitudes a satellite may stand
SEVIRI = ("IR_039", "WV_062", "WV_073", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134")
"""Names of SEVIRI's bands, which stand for those of all imagers."""

MICROMETRES = {
    "IR_039": (3.5, 4.2),
    "WV_062": (5.7, 6.85),
    "WV_073": (7.0, 7.6),
    "IR_087": (8.2, 8.9),
    "IR_097": (9.3, 9.9),
    "IR_108": (10.2, 11.5),
    "IR_120": (11.7, 12.6),
    "IR_134": (13.0, 13.7),
}
"""Central wavelengths of the imagers' bands that are like SEVIRI's; the third water-vapour band of
ABI and AHI, at 6.9 µm, is like none."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """An infrared or water-vapour band of one imager.

    Attributes:
        name: in the imager's own terms.
        micrometres: central wavelength.
        seviri: the band of SEVIRI that it is like; None if SEVIRI has none like it.
        aliases: what else files call it.
    """

    name: str
    micrometres: float
    seviri: str | None
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All names, as files spell them."""
        return frozenset((self.name, *self.aliases))

    @property
    def meaning(self) -> str:
        """The band of SEVIRI, or the wavelength of what SEVIRI has not."""
        return self.seviri or f"{self.micrometres:g} µm"


@dataclass(frozen=True, kw_only=True)
class Imager:
    """An instrument, or a product that stands for one because it is made of several.

    Attributes:
        key: what a scene's attribute ``sensor`` says.
        title: what a person calls it.
        channels: infrared and water-vapour bands.
        words: what else files call the sensor.
        platforms: parts of the satellites' names, where imagers of one key differ.
        longitudes: where its satellites stand, in degrees.
        satpy_readers: names of satpy's readers for its files.
        sweep: which axis of the instrument sweeps; None where no file needs it.
        times: what the time coordinate of its files means; None where files differ.
        is_product: gridded from several imagers; its own names of variables are proof enough.
    """

    key: str
    title: str
    channels: tuple[Channel, ...]
    words: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    longitudes: tuple[float, ...] = ()
    satpy_readers: tuple[str, ...] = ()
    sweep: Literal["x", "y"] | None = None
    times: Literal["start", "middle", "nominal"] | None = None
    is_product: bool = False

    def stands_at(self, longitude: float) -> bool:
        """Whether one of its satellites is usually near a longitude in degrees."""
        return any(abs(nearest_turn(longitude - own)) <= NEAR_DEGREES for own in self.longitudes)


def _channels(
    *rows: tuple[str, float, str | None] | tuple[str, float, str | None, tuple[str, ...]],
) -> tuple[Channel, ...]:
    return tuple(
        Channel(name=name, micrometres=length, seviri=seviri, aliases=tuple(*rest))
        for name, length, seviri, *rest in rows
    )


def _abi_names(number: int) -> tuple[str, ...]:
    return (f"CMI_C{number:02d}",)


IMAGERS = (
    Imager(
        key="seviri",
        title="SEVIRI (Meteosat-8 … 11)",
        channels=_channels(
            ("IR_039", 3.92, "IR_039"),
            ("WV_062", 6.25, "WV_062"),
            ("WV_073", 7.35, "WV_073"),
            ("IR_087", 8.70, "IR_087"),
            ("IR_097", 9.66, "IR_097"),
            ("IR_108", 10.8, "IR_108"),
            ("IR_120", 12.0, "IR_120"),
            ("IR_134", 13.4, "IR_134"),
        ),
        longitudes=(0.0, 9.5, 41.5, 45.5),
        satpy_readers=("seviri_l1b_hrit", "seviri_l1b_native", "seviri_l1b_nc"),
        sweep="y",
    ),
    Imager(
        key="fci",
        title="FCI (Meteosat-12)",
        channels=_channels(
            ("ir_38", 3.80, "IR_039"),
            ("wv_63", 6.30, "WV_062"),
            ("wv_73", 7.35, "WV_073"),
            ("ir_87", 8.70, "IR_087"),
            ("ir_97", 9.66, "IR_097"),
            ("ir_105", 10.5, "IR_108"),
            ("ir_123", 12.3, "IR_120"),
            ("ir_133", 13.3, "IR_134"),
        ),
        words=("flexible combined imager",),
        longitudes=(0.0, 9.5),
        satpy_readers=("fci_l1c_nc",),
        sweep="y",
    ),
    Imager(
        key="abi",
        title="ABI (GOES-16 … 19)",
        channels=_channels(
            ("C07", 3.90, "IR_039", _abi_names(7)),
            ("C08", 6.19, "WV_062", _abi_names(8)),
            ("C09", 6.95, None, _abi_names(9)),
            ("C10", 7.34, "WV_073", _abi_names(10)),
            ("C11", 8.50, "IR_087", _abi_names(11)),
            ("C12", 9.61, "IR_097", _abi_names(12)),
            ("C13", 10.35, "IR_108", _abi_names(13)),
            ("C14", 11.2, None, _abi_names(14)),
            ("C15", 12.3, "IR_120", _abi_names(15)),
            ("C16", 13.3, "IR_134", _abi_names(16)),
        ),
        words=("advanced baseline imager",),
        longitudes=(-75.0, -89.5, -137.0),
        satpy_readers=("abi_l1b", "abi_l2_nc"),
        sweep="x",
        times="middle",
    ),
    Imager(
        key="ahi",
        title="AHI (Himawari-8, 9)",
        channels=_channels(
            ("B07", 3.90, "IR_039"),
            ("B08", 6.20, "WV_062"),
            ("B09", 6.90, None),
            ("B10", 7.30, "WV_073"),
            ("B11", 8.60, "IR_087"),
            ("B12", 9.60, "IR_097"),
            ("B13", 10.4, "IR_108"),
            ("B14", 11.2, None),
            ("B15", 12.4, "IR_120"),
            ("B16", 13.3, "IR_134"),
        ),
        words=("advanced himawari imager",),
        longitudes=(140.7,),
        satpy_readers=("ahi_hsd", "ahi_hrit", "ahi_l1b_gridded_bin"),
        sweep="y",
    ),
    Imager(
        key="ami",
        title="AMI (GEO-KOMPSAT-2A)",
        channels=_channels(
            ("SW038", 3.83, "IR_039"),
            ("WV063", 6.21, "WV_062"),
            ("WV069", 6.94, None),
            ("WV073", 7.33, "WV_073"),
            ("IR087", 8.59, "IR_087"),
            ("IR096", 9.62, "IR_097"),
            ("IR105", 10.35, "IR_108"),
            ("IR112", 11.23, None),
            ("IR123", 12.36, "IR_120"),
            ("IR133", 13.29, "IR_134"),
        ),
        words=("advanced meteorological imager",),
        longitudes=(128.2,),
        satpy_readers=("ami_l1b",),
        sweep="y",
    ),
    Imager(
        key="agri",
        title="AGRI (FY-4A)",
        channels=_channels(
            ("C07", 3.72, "IR_039"),
            ("C08", 3.72, "IR_039"),
            ("C09", 6.25, "WV_062"),
            ("C10", 7.10, "WV_073"),
            ("C11", 8.50, "IR_087"),
            ("C12", 10.8, "IR_108"),
            ("C13", 12.0, "IR_120"),
            ("C14", 13.5, "IR_134"),
        ),
        words=("advanced geostationary radiation imager",),
        platforms=("FY-4A", "FY4A", "Fengyun-4A"),
        longitudes=(86.5, 99.5, 104.7),
        satpy_readers=("agri_fy4a_l1",),
        sweep="y",
    ),
    Imager(
        key="agri",
        title="AGRI (FY-4B)",
        channels=_channels(
            ("C07", 3.72, "IR_039"),
            ("C08", 3.72, "IR_039"),
            ("C09", 6.25, "WV_062"),
            ("C10", 6.95, None),
            ("C11", 7.42, "WV_073"),
            ("C12", 8.50, "IR_087"),
            ("C13", 10.8, "IR_108"),
            ("C14", 12.0, "IR_120"),
            ("C15", 13.5, "IR_134"),
        ),
        words=("advanced geostationary radiation imager",),
        platforms=("FY-4B", "FY4B", "Fengyun-4B"),
        longitudes=(105.0, 123.5, 133.0),
        satpy_readers=("agri_fy4b_l1",),
        sweep="y",
    ),
    Imager(
        key="insat",
        title="imager of INSAT-3D, 3DR and 3DS",
        channels=_channels(
            ("MIR", 3.93, "IR_039"),
            ("WV", 6.88, "WV_062", ("IMG_WV_TEMP",)),
            ("TIR1", 10.8, "IR_108", ("IMG_TIR1_TEMP",)),
            ("TIR2", 12.0, "IR_120", ("IMG_TIR2_TEMP",)),
        ),
        words=("insat3d_img", "insat-3d", "insat3d", "insat-3dr", "insat-3ds"),
        longitudes=(74.0, 82.0),
        satpy_readers=("insat3d_img_l1b_h5",),
        sweep="y",
    ),
    Imager(
        key="goes imager",
        title="imager of GOES-8 … 15",
        channels=_channels(
            ("03_9", 3.90, "IR_039"),
            ("06_5", 6.50, "WV_062", ("06_6", "06_8")),
            ("10_7", 10.7, "IR_108"),
            ("12_0", 12.0, "IR_120"),
            ("13_3", 13.35, "IR_134"),
        ),
        words=("goes_imager",),
        longitudes=(-60.0, -75.0, -105.0, -135.0),
        satpy_readers=("goes-imager_nc", "goes-imager_hrit"),
        sweep="x",
    ),
    Imager(
        key="mtsat",
        title="JAMI and imager of MTSAT-1R and 2, VISSR of GMS-5",
        channels=_channels(
            ("IR4", 3.75, "IR_039"),
            ("IR3", 6.75, "WV_062"),
            ("IR1", 10.8, "IR_108"),
            ("IR2", 12.0, "IR_120"),
        ),
        words=("jami", "mtsat2_imager", "mtsat-2", "mtsat-1r", "gms5-vissr"),
        longitudes=(140.0, 145.0),
        satpy_readers=("jami_hrit", "mtsat2-imager_hrit", "gms5-vissr_l1b"),
        sweep="y",
    ),
    Imager(
        key="mviri",
        title="MVIRI (Meteosat-2 … 7)",
        channels=_channels(("WV", 6.40, "WV_062"), ("IR", 11.5, "IR_108")),
        longitudes=(0.0, 57.0, 63.0),
        satpy_readers=("mviri_l1b_fiduceo_nc",),
        sweep="y",
    ),
    Imager(
        key="gridsat-b1",
        title="GridSat-B1 (all imagers on one grid)",
        channels=_channels(("irwin_cdr", 11.0, "IR_108"), ("irwvp", 6.7, "WV_062")),
        words=("gridsat",),
        times="nominal",
        is_product=True,
    ),
    Imager(
        key="merged-ir",
        title="merged infrared of CPC (all imagers on one grid)",
        channels=_channels(("Tb", 11.0, "IR_108")),
        words=("merg", "merged ir"),
        times="start",
        is_product=True,
    ),
    Imager(
        key="hursat-b1",
        title="HURSAT-B1 (all imagers, around storms)",
        channels=_channels(
            ("IRNIR", 3.90, "IR_039"),
            ("IRWVP", 6.70, "WV_062"),
            ("IRWIN", 11.0, "IR_108"),
            ("IRSPL", 12.0, "IR_120"),
        ),
        words=("hursat",),
        times="nominal",
        is_product=True,
    ),
)
"""Wavelengths as satpy's readers and the documents of the products give them."""


def sensor_of_text(text: str) -> str | None:
    """The key of the one imager that a text of a file names; None of none or of several."""
    keys = {imager.key for imager in IMAGERS if _is_named(imager, text.lower())}
    return keys.pop() if len(keys) == 1 else None


def sensor_of_names(names: Iterable[str], longitude: float | None = None) -> str | None:
    """The imager whose names of bands these are, None if there is none or more than one.

    SEVIRI's names tell nothing, since they stand for those of any imager.

    Args:
        names: of all variables, as the file spells them.
        longitude: where the satellite stands, in degrees, if the file tells.
    """
    others = [imager for imager in IMAGERS if imager.key != "seviri"]
    own = {imager: _names(imager) for imager in others}
    known = set(names) & frozenset().union(*own.values())
    fitting = _near([imager for imager in others if known <= own[imager]], longitude)
    keys = {imager.key for imager in fitting} if known else set()
    return keys.pop() if len(keys) == 1 else None


def candidates(
    sensor: str | None, platform: str = "", longitude: float | None = None
) -> tuple[Imager, ...]:
    """The imagers that a file may be of.

    Args:
        sensor: what the file says or its names prove; None if neither does.
        platform: the satellite, which tells imagers of one key apart.
        longitude: where the satellite stands, in degrees; narrows as far as it leaves any.
    """
    of_sensor = [imager for imager in IMAGERS if sensor in (None, imager.key)]
    on_platform = [imager for imager in of_sensor if _is_on(imager, platform)]
    return tuple(_near(on_platform or of_sensor, longitude))


def meanings(name: str, imagers: Sequence[Imager] = IMAGERS) -> frozenset[str]:
    """What bands a name means, whatever its case: one, none, or several of different imagers."""
    if name.upper() in SEVIRI:
        return frozenset({name.upper()})
    return frozenset(
        channel.meaning
        for imager in imagers
        for channel in imager.channels
        if name.lower() in map(str.lower, channel.names)
    )


def bands_at(micrometres: float) -> frozenset[str]:
    """The band of SEVIRI that a band of this central wavelength is like, or none."""
    return frozenset(
        name for name, (low, high) in MICROMETRES.items() if low <= micrometres <= high
    )


def imager_of(sensor: str, platform: str = "") -> Imager | None:
    """The imager of a scene's sensor and platform; None if it is unknown or one of several."""
    found = candidates(sensor, platform)
    return found[0] if len(found) == 1 else None


def band_text(sensor: str, platform: str, seviri: str) -> str:
    """What a person reads of a scene's variable: the band in the imager's own terms."""
    imager = imager_of(sensor, platform)
    channels = imager.channels if imager else ()
    own = [channel for channel in channels if seviri in (channel.seviri, channel.name)]
    if imager is None or not own:
        return "imager unknown" if sensor == "unknown" else f"band of {sensor}"
    return f"{own[-1].name} of {imager.title}, {own[-1].micrometres:g} µm"


@cache
def _names(imager: Imager) -> frozenset[str]:
    return frozenset().union(*(channel.names for channel in imager.channels))


def _is_named(imager: Imager, text: str) -> bool:
    words = "|".join(map(re.escape, (imager.key, *imager.words)))
    return re.search(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])", text) is not None


def _is_on(imager: Imager, platform: str) -> bool:
    return any(part.lower() in platform.lower() for part in imager.platforms)


def _near(imagers: Sequence[Imager], longitude: float | None) -> Sequence[Imager]:
    if longitude is None:
        return imagers
    return [imager for imager in imagers if imager.stands_at(longitude)] or imagers
