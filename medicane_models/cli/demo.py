"""``medicane demo``."""

from typing import Annotated, Any

import typer

from medicane_models.cli.running import judge, load_predictor, show
from medicane_models.commands import (
    Animate,
    AnyDevice,
    Json,
    Model,
    Out,
    Overwrite,
    Plot,
    Report,
    Revision,
    RuntimeChoice,
    Seed,
    Threads,
    Tracker,
    TrackerRevision,
    say,
    will_plot,
    will_report,
)


def demo(
    out: Out,
    model: Model = "auto",
    revision: Revision = None,
    tracker: Tracker = "auto",
    tracker_revision: TrackerRevision = None,
    hours: Annotated[int, typer.Option(min=2, max=48, help="Length of the scene.")] = 6,
    seed: Seed = 0,
    plot: Plot = None,
    report: Report = None,
    animate: Animate = False,
    overwrite: Overwrite = False,
    runtime: RuntimeChoice = "auto",
    device: AnyDevice = "auto",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Simulate a cyclone, offline, look for it with the embedded models, and score them.

    It is a tropical cyclone off Australia in the infrared of Himawari, or for models of other
    channels or of SEVIRI's own pixels a medicane.
    """
    from medicane_models.domain import MEDITERRANEAN
    from medicane_models.prediction.publishing import replacing_products
    from medicane_models.scenes.readers.channels import WINDOW
    from medicane_models.simulation import simulate_infrared, simulate_scene
    from medicane_models.verification.fixes import judge_run
    from medicane_models.verification.matching import read_truth

    pages: dict[str, Any] = {"report": will_report(report, plot), "animate": animate}
    options = {"threads": threads, "revision": revision, "tracker_revision": tracker_revision}
    with replacing_products(out, plot=will_plot(plot), overwrite=overwrite, **pages) as writer:
        predictor = load_predictor(model, tracker, runtime, device, **options)
        reads = predictor.processor
        if reads.uses_planes and reads.channels == (WINDOW,):
            simulated, truth = simulate_infrared(hours=hours, seed=seed)
        else:
            grid = MEDITERRANEAN if reads.uses_planes else reads.grid
            simulated, truth = simulate_scene(hours=hours, seed=seed, grid=grid)
        writer.add_truth(truth)
        run = predictor.run(simulated, pictures=writer.needs_pictures)
        detections = judge(run, run, writer)
    say(f"The simulated cyclone's true track is in {out / 'truth.csv'}.")
    show(detections, out, score=judge_run(detections, read_truth(out / "truth.csv")), json=json)
