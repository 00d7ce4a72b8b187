"""``medicane push``."""

from typing import Annotated

import typer

from medicane_models.commands import Json, ModelName, Revision, print_json
from medicane_models.network.configuration import MedicaneConfig


def push(
    folder: ModelName,
    repo_id: Annotated[
        str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub; created if absent.")
    ],
    revision: Revision = None,
    private: Annotated[
        bool, typer.Option("--private", help="Who creates it alone sees the repository.")
    ] = False,
    json: Json = False,
) -> None:
    """Upload a model's folder to the Hugging Face Hub, with everything in it, in one commit.

    --revision is the branch to commit to. Checkpoints and TensorBoard of a run stay, as do refused
    exports; a folder without a card gets one. The token is that of `hf auth login`, or HF_TOKEN.
    """
    from medicane_models.hub import local_folder, upload
    from medicane_models.network.cards import model_card

    texts = {}
    place = local_folder(folder)
    if place is not None and not (place / "README.md").exists():
        texts["README.md"] = model_card(MedicaneConfig.from_pretrained(place), name=repo_id)
    made = upload(folder, repo_id, private=private, revision=revision, texts=texts)
    if json:
        print_json(made)
    else:
        typer.echo(f"{len(made.files)} files are in {made.url}")
