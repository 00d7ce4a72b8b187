"""The data of a recipe: how a clip store is split, drawn from and changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from medicane_models.errors import ConfigurationError
from medicane_training.recipes.bounds import at_least

__all__ = ["BALANCED_SHARES", "Augmentation", "DataSettings", "SplitSettings"]

BALANCED_SHARES: Mapping[str, float] = {
    "cyclone": 0.5,
    "neighbour": 0.1,
    "cyclone_hour": 0.1,
    "same_place": 0.1,
    "cloudy": 0.1,
    "clear": 0.1,
}
"""Half cyclones; the other half from all weather, not only from the hours of cyclones."""


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """Which clips train, which choose, which judge; see :mod:`medicane_training.clips.splits`.

    Attributes:
        by: ``storm`` deals out whole storms and calm weeks, ``season`` whole seasons (unlabelled
            clips), ``folds`` deals storms into folds of which one is the test, ``dates`` cuts the
            years in three, ``file`` reads a table.
        fractions: of train, validation and test; ``storm`` and ``season``. None is 0.7, 0.15, 0.15.
        seed: of the deal, whatever the seed of the run; ``storm``, ``season`` and ``folds``. None
            is 0.
        folds: how many.
        fold: which of them is the test, from 0; the next one is the validation.
        validation_from: first day of the validation, UTC; ``dates``.
        test_from: first day of the test; ``dates``.
        file: CSV with ``end, tile_x, tile_y, part``; ``file``.
        guard_hours: at least this lies between clips of different parts; all but ``file``. None is
            24.
        guard_km: of local planes, clips of different parts that are nearer in time lie at least
            this far apart; ``storm`` and ``folds``. None is 2000.
        test_storms: names of storms, and of a store of local planes also of data sets, that are
            never trained on or chosen with, whatever the seed; or a file with one a line. They are
            tested by ``storm``, and in no part of ``folds``.
    """

    by: Literal["storm", "season", "folds", "dates", "file"] = "storm"
    fractions: tuple[float, float, float] | None = None
    seed: int | None = None
    folds: int | None = None
    fold: int | None = None
    validation_from: str | None = None
    test_from: str | None = None
    file: str | None = None
    guard_hours: float | None = None
    guard_km: float | None = None
    test_storms: str | tuple[str, ...] | None = None

    READ: ClassVar[Mapping[str, tuple[set[str], set[str]]]] = {
        "storm": (set(), {"fractions", "seed", "guard_hours", "guard_km", "test_storms"}),
        "season": (set(), {"fractions", "seed", "guard_hours"}),
        "folds": ({"folds", "fold"}, {"seed", "guard_hours", "guard_km", "test_storms"}),
        "dates": ({"validation_from", "test_from"}, {"guard_hours"}),
        "file": ({"file"}, set()),
    }
    """For each way the settings it needs, and those it reads if they are given."""

    def __post_init__(self) -> None:
        needed, read = self.READ[self.by]
        given = {name for name, value in vars(self).items() if value is not None} - {"by"}
        if missing := needed - given:
            raise ConfigurationError(f"data.split.by {self.by} needs {', '.join(sorted(missing))}")
        if unused := given - needed - read:
            raise ConfigurationError(
                f"data.split.by {self.by} does not read {', '.join(sorted(unused))}; set it to null"
            )
        at_least("data.split", self, seed=0, guard_hours=0, guard_km=0)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much views may differ from their clip. Time is never reversed: vortices do not unwind.

    Attributes:
        shift_px: least and most pixels, along each axis, from the clip's tile to the window that is
            read (whole ones), or from the middle of a local plane to what it is drawn around, the
            storm or the sample's own middle; None reads the tile itself, or does not displace.
        quarter_turns: turn by 0, 90, 180 or 270 degrees. A turn keeps the sense of rotation of a
            vortex, but not where north, the sun and the satellite are.
        mirror: share of views that are mirrored. A mirror makes of a cyclone one of the other
            hemisphere: leave it 0 where the sense of rotation should tell something.
        angle_degrees: most degrees of a turn, either way, besides quarter turns.
        scale: least and most magnification.
        gain: most relative change of contrast about the middle of the stretch, each band alone.
        offset: most shift in stretched units, each band alone; 0.04 is 1 K of the Airmass red.
        curve: how far grey levels may be bent, from 0, which leaves them, to 1, where some levels
            nearly run together; for pictures whose grey levels nobody has calibrated.
        blur: share of views that are blurred, by up to the mean over 3 × 3 pixels.
        noise: most standard deviation of noise in stretched units.
        drop_frames: share of frames that are dropped, at most as many a clip as inference allows,
            and filled from the nearest; where the model is told which are missing they are missing,
            and the newest one stays.
        single_frame: share of views of which the newest frame alone is there, where the model is
            told so.
        block: share of views with a rectangle of missing pixels, up to half a side long, in some
            consecutive frames.
        border: share of views of which the part beyond a straight line is missing, as at the border
            of a picture, and of these a second time; the line knows nothing of the centre.
        patches: most small squares that are filled in from their sides, as marks are that someone
            has drawn into pictures; on local planes.
        most_missing: share of missing pixels up to which a view of a local plane is used; another
            one is drawn otherwise.
        center_margin_px: how far inside the tile a cyclone's centre stays, and how far outside in a
            view without a cyclone.
    """

    shift_px: tuple[int, int] | None = (40, 100)
    quarter_turns: bool = False
    mirror: float = 0.0
    angle_degrees: float = 15.0
    scale: tuple[float, float] = (0.9, 1.1)
    gain: float = 0.1
    offset: float = 0.04
    curve: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    drop_frames: float = 0.02
    single_frame: float = 0.0
    block: float = 0.05
    border: float = 0.0
    patches: int = 0
    most_missing: float = 0.1
    center_margin_px: float = 5.0

    SHARES: ClassVar[tuple[str, ...]] = (
        *("mirror", "gain", "curve", "blur", "drop_frames", "single_frame", "block", "border"),
        "most_missing",
    )

    def __post_init__(self) -> None:
        for name in self.SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(
                    f"data.augmentation.{name} is {getattr(self, name)}; give 0 … 1"
                )
        at_least("data.augmentation", self, offset=0, noise=0, patches=0)
        low, high = self.shift_px or (0, 0)
        if not 0 <= low <= high or not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigurationError(
                f"shift_px is {self.shift_px} and scale {self.scale}; give the least, then the most"
            )


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which clips are read, and how.

    Attributes:
        store: folder of the clip store.
        split: into train, validation and test.
        order: ``shuffled`` shows every training clip once an epoch, ``balanced`` draws strata by
            their shares and storms alike.
        shares: of the strata; None takes :data:`BALANCED_SHARES`; ``balanced`` only.
        samples: clips of an epoch; ``balanced`` only. None takes as many as there are to draw from.
        storm_power: a storm of n clips is drawn n to this power times as often as one of one clip;
            ``balanced`` only. None is 0, all storms alike.
        datasets: share of each data set of a store of local planes in each stratum; ``balanced``
            only. None does not tell them apart.
        hard: share of the hardest fifth, the coldest and most like a spiral, among the clips of
            local planes without a cyclone; ``balanced`` only. None draws all alike.
        least_wind_kt: storms whose wind is known to be weaker neither train nor choose, as
            disturbances that nobody calls a cyclone; they are tested. None takes all.
        augmentation: None shows every clip as it is.
        num_views: of each clip in a batch (repeated augmentation).
        workers: processes of each rank that read ahead.
        evaluation_batch: clips of a batch in evaluation, each rank.
    """

    store: str
    split: SplitSettings = field(default_factory=SplitSettings)
    order: Literal["shuffled", "balanced"] = "shuffled"
    shares: Mapping[str, float] | None = None
    samples: int | None = None
    storm_power: float | None = None
    datasets: Mapping[str, float] | None = None
    hard: float | None = None
    least_wind_kt: float | None = None
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    num_views: int = 1
    workers: int = 0
    evaluation_batch: int = 8

    BALANCED: ClassVar[tuple[str, ...]] = ("shares", "samples", "storm_power", "datasets", "hard")

    def __post_init__(self) -> None:
        unread = [name for name in self.BALANCED if getattr(self, name) is not None]
        if self.order == "shuffled" and unread:
            told = " and ".join(f"data.{name}" for name in unread)
            raise ConfigurationError(f"{told} belong to data.order balanced; set them to null")
        if self.hard is not None and not 0 < self.hard < 1:
            raise ConfigurationError(f"data.hard is {self.hard}; give a share between 0 and 1")
        least = {"samples": 1, "num_views": 1, "workers": 0, "evaluation_batch": 1}
        at_least("data", self, **least, storm_power=0)
        if self.num_views > 1 and self.augmentation is None:
            raise ConfigurationError(
                f"data.num_views is {self.num_views} and data.augmentation null, so that all views "
                "would be alike; set one of them"
            )

    @property
    def stratum_shares(self) -> Mapping[str, float]:
        """`shares`, or what stands in for them."""
        return BALANCED_SHARES if self.shares is None else self.shares
