"""How cyclones move and how their fixes err: what linking, smoothing and extrapolation share.

A cyclone keeps its velocity but for random accelerations, and a part of a fix's error lasts into
the fixes after it, so that ten fixes in ten hours are far from ten opinions (Bar-Shalom, Li and
Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, chapters 6 and 8).

Positions are points in space, in km from the Earth's centre, and every axis of space is like any
other: one 3 × 3 covariance holds for each of the three, no map projection is needed, and poles and
the 180th meridian are places like any other.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from medicane_models.domain import EARTH_RADIUS_KM, lonlat_of, unit_vectors
from medicane_models.errors import ConfigurationError

__all__ = ["RADIUS_PER_DEVIATION", "Motion", "MotionModel", "deviation_km", "places_km"]

RADIUS_PER_DEVIATION = np.sqrt(-2 * np.log1p(-0.95))
"""``radius_95_km`` of a normal error of 1 km along each axis."""


class Motion(NamedTuple):
    """What is known of where cyclones are and go, as normal distributions.

    Attributes:
        mean: rows are the position in km, the velocity in km/h and the lasting error in deviations
            of a fix; columns the axes of space.
        covariance: of the three along any one axis.
    """

    mean: Float[np.ndarray, "*n 3 3"]
    covariance: Float[np.ndarray, "*n 3 3"]

    @property
    def lonlat(self) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
        """Positions in degrees."""
        return lonlat_of(self.mean[..., 0, :])

    @property
    def deviation_km(self) -> Float[np.ndarray, "*n"]:
        """Standard deviation of a position along one axis."""
        return np.sqrt(self.covariance[..., 0, 0])

    def of(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Motion":
        """Some of the cyclones, in that order."""
        return Motion(self.mean[chosen], self.covariance[chosen])

    def joined(self, *others: Self) -> "Motion":
        """These cyclones, then others."""
        return Motion(*(np.concatenate(parts) for parts in zip(self, *others, strict=True)))


@dataclass(frozen=True, kw_only=True)
class MotionModel:
    """Nearly constant velocity, fixes whose errors last.

    Attributes:
        acceleration_noise: growth of a velocity's variance along one axis, km²/h³.
        wandering: growth of a position's variance beside that, km²/h. If a cyclone keeps the
            velocity of its last step, of h hours, for as long again, the error along one axis has
            the variance 2 · wandering · h + 2/3 · acceleration_noise · h³. Of 18 Mediterranean
            cyclones, hourly where they were seen (910, 838, 730 and 518 steps of 1, 3, 6 and 12 h),
            the deviation is 15, 26, 51 and 113 km, which 100 and 10 give back; of 4350 tropical
            cyclones (JTWC, 1980–2024, 118 505, 109 807 and 92 706 steps of 6, 12 and 24 h) it is
            30, 73 and 190 km, which are 24 and 4, poleward of 30° 13. The larger ones hold for
            all, so that radii are rather too wide than too narrow.
        speed_km_per_hour: deviation along one axis of a velocity not yet observed; 99.7 % of such
            speeds are below 100 km/h, as those of the reference tracks of `LinkSettings` are.
        lasting_share: of the variance of a fix's error. Errors of the embedded infrared tracker on
            storms that it was never trained on, in units of their radii, correlate by .56 after
            3 h, .44 after 6, .26 after 9 and .17 after 12 (522, 474, 270 and 258 pairs of fixes;
            .82 between displaced views of one hour).
        error_hours: in which the lasting part fades to 1/e.
    """

    acceleration_noise: float = 10.0
    wandering: float = 100.0
    speed_km_per_hour: float = 29.3
    lasting_share: float = 0.8
    error_hours: float = 8.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigurationError(f"{field.name} is {value}; give a number above 0")
        if self.lasting_share >= 1:
            raise ConfigurationError(f"lasting_share is {self.lasting_share:g}; give less than 1")

    def started(
        self, place: Float[np.ndarray, "*n 3"], deviation: Float[np.ndarray, "*n"]
    ) -> Motion:
        """Cyclones that were never seen before.

        Args:
            place: of their fixes, from :func:`places_km`.
            deviation: of the fixes' errors along one axis, km.
        """
        mean = np.zeros((*place.shape, 3))
        mean[..., 0, :] = place
        covariance = np.zeros_like(mean)
        covariance[..., 0, 0] = deviation**2
        covariance[..., 1, 1] = self.speed_km_per_hour**2
        covariance[..., 2, 2] = 1
        lasting = -np.sqrt(self.lasting_share) * deviation
        covariance[..., 0, 2] = covariance[..., 2, 0] = lasting
        return Motion(mean, covariance)

    def transition(
        self, hours: Float[np.ndarray, "*n"]
    ) -> tuple[Float[np.ndarray, "*n 3 3"], Float[np.ndarray, "*n 3 3"]]:
        """What turns a state into the one expected some hours later, and the noise it gains."""
        step = np.zeros((*hours.shape, 3, 3))
        step[..., 0, 0] = step[..., 1, 1] = 1
        step[..., 0, 1] = hours
        step[..., 2, 2] = fading = np.exp(-hours / self.error_hours)
        noise = np.zeros_like(step)
        noise[..., 0, 0] = self.wandering * hours + self.acceleration_noise * hours**3 / 3
        noise[..., 0, 1] = noise[..., 1, 0] = self.acceleration_noise * hours**2 / 2
        noise[..., 1, 1] = self.acceleration_noise * hours
        noise[..., 2, 2] = 1 - fading**2
        return step, noise

    def later(self, motion: Motion, hours: Float[np.ndarray, "*n"]) -> Motion:
        """The same cyclones after some hours."""
        step, noise = self.transition(hours)
        covariance = step @ motion.covariance @ np.swapaxes(step, -1, -2) + noise
        return Motion(step @ motion.mean, covariance)

    def fix_variance(
        self, motion: Motion, deviation: Float[np.ndarray, "*m"]
    ) -> Float[np.ndarray, "*n"]:
        """Variance along one axis, km², of where fixes are expected to lie, seen from the mean."""
        covariance = motion.covariance
        lasting = np.sqrt(self.lasting_share) * deviation
        known = covariance[..., 0, 0] + 2 * lasting * covariance[..., 0, 2]
        fleeting = (1 - self.lasting_share) * deviation**2
        return known + lasting**2 * covariance[..., 2, 2] + fleeting

    def expected_fix(
        self, motion: Motion, deviation: Float[np.ndarray, "*m"]
    ) -> Float[np.ndarray, "*n 3"]:
        """Where fixes with errors of this deviation are expected, km from the Earth's centre."""
        lasting = np.sqrt(self.lasting_share) * deviation
        return motion.mean[..., 0, :] + lasting[..., None] * motion.mean[..., 2, :]

    def seen(
        self,
        motion: Motion,
        place: Float[np.ndarray, "*n 3"],
        deviation: Float[np.ndarray, "*n"],
    ) -> Motion:
        """The same cyclones after a fix of each at this very time: one step of a Kalman filter."""
        lasting = np.sqrt(self.lasting_share) * deviation
        shared = motion.covariance[..., 0] + lasting[..., None] * motion.covariance[..., 2]
        gain = shared / self.fix_variance(motion, deviation)[..., None]
        surprise = place - self.expected_fix(motion, deviation)
        return Motion(
            motion.mean + gain[..., :, None] * surprise[..., None, :],
            motion.covariance - gain[..., :, None] * shared[..., None, :],
        )


def places_km(lon: Float[np.ndarray, "*n"], lat: Float[np.ndarray, "*n"]) -> np.ndarray:
    """Points in degrees as km from the Earth's centre, (*n, 3)."""
    return EARTH_RADIUS_KM * unit_vectors(lon, lat)


def deviation_km(radius_95_km: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Deviation along one axis of the normal error with this radius; NaN stays NaN."""
    return radius_95_km / RADIUS_PER_DEVIATION
