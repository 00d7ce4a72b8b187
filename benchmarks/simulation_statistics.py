"""Statistics of simulated scenes against real ones, and the speed of the simulation.

    python benchmarks/simulation_statistics.py --data FOLDER --members 12

For each real data set as many simulated scenes of the same grid, date and hours, without storms of
the drawn kinds, are compared with it: quantiles and histograms, power spectra along rows, and the
correlation of frames with the first one. The constants of the simulation were tuned on these very
scenes, so that agreement shows the quality of the fit, not of a forecast; three scenes are few.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from PIL import Image

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medicane_models.domain import MEDITERRANEAN, Grid
from medicane_models.scenes.opening import open_scene, scene_grid
from medicane_models.scenes.processing import AIRMASS_LIMITS
from medicane_models.simulation import CHANNELS, Instrument, Storm, StormKind, draw_storm
from medicane_models.simulation.scene import Frames
from medicane_models.times import utc

RESULTS = Path(__file__).parent / "results"
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SPECTRAL_BANDS = {"24 … 128 px": (1 / 128, 1 / 24), "6 … 24 px": (1 / 24, 1 / 6)}
LETTERBOX = slice(129, 254)  # rows of the stored PNG frames that hold the picture
SMALL = (384, 125)
COMPLETE = Instrument(missing_frames=0, missing_lines=0)
MATURE = utc("2021-10-10 12:00")
CLOSE_UP = 200  # pixels along a side of a storm's picture

Stack = Float[np.ndarray, "time layer y x"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A real recording and simulations of the same place and time.

    Attributes:
        name: of the real data.
        layers: names of channels or colours.
        minutes: of the frames after the first one.
        real: the recording.
        simulated: one stack a member.
    """

    name: str
    layers: Sequence[str]
    minutes: Sequence[int]
    real: Stack
    simulated: Sequence[Stack]


def main() -> None:
    """Compare, draw, time; print and keep the numbers."""
    arguments = parsed()
    comparisons = [
        mediterranean(arguments.data, arguments.members),
        british_isles(arguments.data, arguments.members),
        colours(arguments.data, arguments.members),
    ]
    result = {
        "members": arguments.members,
        "frames_per_second": speed(),
        **{comparison.name: numbers(comparison) for comparison in comparisons},
    }
    text = json.dumps(result, indent=1)
    (RESULTS / "simulation_statistics.json").write_text(text + "\n")
    draw(comparisons).savefig(RESULTS / "simulation_statistics.png", dpi=60)
    draw_pictures()
    print_table(comparisons, result)


def parsed() -> argparse.Namespace:
    """Where the real data are and how much to simulate."""
    beside = [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
    found = next((path for path in beside if path.is_dir()), None)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=found, required=found is None)
    parser.add_argument("--members", type=int, default=12)
    return parser.parse_args()


def mediterranean(data: Path, members: int) -> Comparison:
    """The Mediterranean in a calm September night, 15 minutes apart."""
    scene = open_scene(data / "seviri_hrit_20200906", domain=MEDITERRANEAN)
    return Comparison(
        name="Mediterranean 2020-09-06",
        layers=CHANNELS,
        minutes=(0, 15),
        real=np.moveaxis(scene.to_array().to_numpy(), 0, 1),
        simulated=ensemble(MEDITERRANEAN, "2020-09-06 00:30", (0, 15), members),
    )


def british_isles(data: Path, members: int) -> Comparison:
    """Winter weather over the British Isles, rapid scans."""
    minutes = (0, 5, 10, 15, 30, 55)
    scene = open_scene(sorted((data / "seviri_rss_20231220").glob("*.zarr.zip")))
    chosen = scene.isel(time=[m // 5 for m in minutes])
    return Comparison(
        name="British Isles 2023-12-20",
        layers=CHANNELS,
        minutes=minutes,
        real=np.moveaxis(chosen.to_array().to_numpy(), 0, 1),
        simulated=ensemble(scene_grid(scene), "2023-12-20 11:35", minutes, members),
    )


def colours(data: Path, members: int) -> Comparison:
    """Airmass RGB of the Mediterranean on a disturbed November morning, shrunk."""
    minutes = (0, 5, 15, 30, 60, 120, 180)
    files = sorted((data / "airmass_png_20111102").glob("*.png"))
    real = [np.asarray(Image.open(files[m // 5]).convert("RGB"))[LETTERBOX] for m in minutes]
    frames = ensemble(MEDITERRANEAN, "2011-11-02 06:55", minutes, members)
    return Comparison(
        name="Airmass 2011-11-02",
        layers=("red", "green", "blue"),
        minutes=minutes,
        real=np.moveaxis(np.stack(real) / 255.0, -1, 1),
        simulated=[np.stack([shrunk(airmass(frame)) for frame in stack]) for stack in frames],
    )


def ensemble(grid: Grid, start: str, minutes: Sequence[int], members: int) -> list[Stack]:
    """Simulations without drawn storms, one seed each."""
    first = utc(start)
    return [
        np.stack([frames.at(first + timedelta(minutes=m)) for m in minutes])
        for frames in (Frames(grid, [], COMPLETE, seed=seed) for seed in range(members))
    ]


def airmass(frame: Float[np.ndarray, "channel y x"]) -> Float[np.ndarray, "y x 3"]:
    """The Airmass RGB in 0 … 1."""
    upper, lower, ozone, window = frame
    bands = (upper - lower, ozone - window, upper)
    limits = AIRMASS_LIMITS["seviri"]
    stretched = [
        (band - low) / (high - low) for band, (low, high) in zip(bands, limits, strict=True)
    ]
    return np.clip(np.stack(stretched, axis=-1), 0, 1)


def shrunk(picture: Float[np.ndarray, "y x 3"]) -> Float[np.ndarray, "3 h w"]:
    """At the size of the stored PNG frames."""
    image = Image.fromarray((picture * 255).astype(np.uint8))
    small = image.resize(SMALL, Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(small) / 255.0, -1, 0)


def numbers(comparison: Comparison) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Every statistic: the real one, and mean and deviation over members."""
    return {
        layer: {
            name: {
                "real": rounded(statistic(comparison.real[:, index], comparison.minutes)),
                **spread(
                    [statistic(s[:, index], comparison.minutes) for s in comparison.simulated]
                ),
            }
            for name, statistic in STATISTICS.items()
        }
        for index, layer in enumerate(comparison.layers)
    }


def spread(values: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """Mean and deviation over members."""
    return {
        "simulated": rounded(np.mean(values, axis=0)),
        "members_std": rounded(np.std(values, axis=0)),
    }


def rounded(values: np.ndarray) -> list[float]:
    """Four digits are plenty."""
    return [float(f"{value:.4g}") for value in np.atleast_1d(values)]


def moments(frames: Float[np.ndarray, "time y x"], _: Sequence[int]) -> np.ndarray:
    """Mean and standard deviation of the first frame."""
    return np.array([frames[0].mean(), frames[0].std()])


def quantiles(frames: Float[np.ndarray, "time y x"], _: Sequence[int]) -> np.ndarray:
    """QUANTILES of the first frame."""
    return np.quantile(frames[0], QUANTILES)


def slopes(frames: Float[np.ndarray, "time y x"], _: Sequence[int]) -> np.ndarray:
    """Exponents of the power spectrum within SPECTRAL_BANDS."""
    wave_number, power = spectrum(frames[0])
    inside = [(wave_number >= a) & (wave_number <= b) for a, b in SPECTRAL_BANDS.values()]
    return np.array([np.polyfit(np.log(wave_number[k]), np.log(power[k]), 1)[0] for k in inside])


def correlations(frames: Float[np.ndarray, "time y x"], _: Sequence[int]) -> np.ndarray:
    """Of each later frame with the first."""
    first = frames[0].ravel()
    return np.array([np.corrcoef(first, frame.ravel())[0, 1] for frame in frames[1:]])


STATISTICS = {
    "mean_std": moments,
    "quantiles": quantiles,
    "spectral_slopes": slopes,
    "correlation_with_first": correlations,
}


def spectrum(field: Float[np.ndarray, "y x"]) -> tuple[np.ndarray, np.ndarray]:
    """Cycles per pixel and mean power along rows, Hann window, without the mean."""
    anomaly = (field - field.mean(axis=1, keepdims=True)) * np.hanning(field.shape[1])
    power = (abs(np.fft.rfft(anomaly, axis=1)) ** 2).mean(axis=0) / field.shape[1]
    return np.fft.rfftfreq(field.shape[1])[2:], power[2:]


def speed(frames: int = 48) -> dict[str, float]:
    """Frames/s of the Mediterranean with a medicane, in a row, on one thread."""
    storm = draw_storm(StormKind.MEDICANE, grid=MEDITERRANEAN, middle=MATURE, seed=0)
    recorded = Frames(MEDITERRANEAN, [storm], COMPLETE, seed=0)
    recorded.at(MATURE)
    wall, processor = time.perf_counter(), time.process_time()
    for index in range(1, frames + 1):
        recorded.at(MATURE + timedelta(minutes=5 * index))
    return {
        "wall": round(frames / (time.perf_counter() - wall), 1),
        "processor": round(frames / (time.process_time() - processor), 1),
    }


def draw(comparisons: Sequence[Comparison]) -> Figure:
    """Histograms, spectra and correlations of all comparisons."""
    figure, axes = plt.subplots(4, 4, figsize=(19, 16), constrained_layout=True)
    figure.suptitle(
        "Real (solid) and simulated scenes (dashed: mean of members; shade: their range)"
    )
    channels, (rgb,) = comparisons[:2], comparisons[2:]
    for comparison, colour in zip(channels, ("tab:blue", "tab:orange"), strict=True):
        for index, layer in enumerate(comparison.layers):
            draw_histogram(axes[0, index], comparison, index, colour)
            draw_spectrum(axes[1, index], comparison, index, colour)
            axes[0, index].set(title=f"{layer}: histogram", xlabel="K")
            axes[1, index].set(title=f"{layer}: spectrum along rows", xlabel="cycles/px")
            if len(comparison.minutes) > 2:
                draw_correlation(axes[2, index], comparison, index, colour)
                axes[2, index].set(title=f"{layer}: correlation with first frame", xlabel="min")
    for index, colour in enumerate(("tab:red", "tab:green", "tab:blue")):
        draw_histogram(axes[3, index], rgb, index, colour)
        axes[3, index].set(title=f"Airmass {rgb.layers[index]}: histogram")
        draw_correlation(axes[3, 3], rgb, index, colour)
    axes[3, 3].set(title="Airmass: correlation with first frame", xlabel="min")
    axes[0, 0].legend()
    axes[3, 0].legend()
    return figure


def draw_histogram(axes: Axes, comparison: Comparison, layer: int, colour: str) -> None:
    """Densities of the first frame."""
    stacks = [comparison.real, *comparison.simulated]
    low, high = (f(np.quantile(s[0, layer], q) for s in stacks) for f, q in ((min, 0), (max, 1)))
    bins = np.linspace(low, high, 50)
    density = [np.histogram(s[0, layer], bins, density=True)[0] for s in stacks]
    draw_lines(axes, (bins[1:] + bins[:-1]) / 2, density, comparison.name, colour)


def draw_spectrum(axes: Axes, comparison: Comparison, layer: int, colour: str) -> None:
    """Power of the first frame."""
    spectra = [spectrum(s[0, layer]) for s in (comparison.real, *comparison.simulated)]
    draw_lines(axes, spectra[0][0], [power for _, power in spectra], comparison.name, colour)
    axes.set(xscale="log", yscale="log")


def draw_correlation(axes: Axes, comparison: Comparison, layer: int, colour: str) -> None:
    """Against the time between frames."""
    stacks = [comparison.real, *comparison.simulated]
    values = [correlations(s[:, layer], comparison.minutes) for s in stacks]
    draw_lines(axes, np.array(comparison.minutes[1:]), values, comparison.name, colour)


def draw_lines(
    axes: Axes, x: np.ndarray, values: Sequence[np.ndarray], name: str, colour: str
) -> None:
    """The real line first, then the members."""
    real, *members = values
    axes.plot(x, real, color=colour, label=name)
    axes.plot(x, np.mean(members, axis=0), "--", color=colour)
    axes.fill_between(x, np.min(members, axis=0), np.max(members, axis=0), color=colour, alpha=0.15)


def draw_pictures() -> None:
    """Simulated Airmass pictures: the Mediterranean, six medicanes, and the look-alikes."""
    storms = [
        draw_storm(StormKind.MEDICANE, grid=MEDITERRANEAN, middle=MATURE, seed=s) for s in range(6)
    ]
    others = [
        draw_storm(kind, grid=MEDITERRANEAN, middle=MATURE, seed=seed)
        for kind in StormKind
        if kind is not StormKind.MEDICANE
        for seed in (0, 1)
    ][:6]
    whole = airmass(Frames(MEDITERRANEAN, [storms[2]], COMPLETE, seed=2).at(MATURE))
    rows = [np.concatenate([close_up(s) for s in row], axis=1) for row in (storms, others)]
    wide = [Image.fromarray((p * 255).astype(np.uint8)) for p in (whole, *rows)]
    scaled = [image.resize((1200, round(1200 * image.height / image.width))) for image in wide]
    page = Image.new("RGB", (1200, sum(image.height for image in scaled)))
    for index, image in enumerate(scaled):
        page.paste(image, (0, sum(other.height for other in scaled[:index])))
    page.quantize(256).save(RESULTS / "simulation_pictures.png", optimize=True)


def close_up(storm: Storm) -> Float[np.ndarray, "y x 3"]:
    """A storm at its height."""
    lon, lat = storm.centre(storm.age_h(MATURE))
    x, y = (round(float(v)) - CLOSE_UP // 2 for v in MEDITERRANEAN.lonlat_to_pixel(lon, lat))
    x = min(max(x, 0), MEDITERRANEAN.width - CLOSE_UP)
    y = min(max(y, 0), MEDITERRANEAN.height - CLOSE_UP)
    grid = MEDITERRANEAN.window(x, y, CLOSE_UP, CLOSE_UP)
    return airmass(Frames(grid, [storm], COMPLETE, seed=storm.seed % 100).at(MATURE))


def print_table(comparisons: Sequence[Comparison], result: dict[str, object]) -> None:
    """Simulated minus real, a line a layer."""
    print(f"frames/s {result['frames_per_second']}, {result['members']} members")
    for comparison in comparisons:
        print(f"\n{comparison.name}: simulated - real")
        for layer, statistics in numbers(comparison).items():
            parts = [
                f"{name} "
                + " ".join(f"{s - r:+.3g}" for r, s in zip(v["real"], v["simulated"], strict=True))
                for name, v in statistics.items()
            ]
            print(f"  {layer:7} " + "; ".join(parts))


if __name__ == "__main__":
    main()
