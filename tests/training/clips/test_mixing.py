import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from medicane_models.errors import ConfigurationError
from medicane_training.clips.mixing import ClipMixer

LABELS = torch.tensor([0, 1, 1, 0])


def clips() -> torch.Tensor:
    """Four clips, each of one value throughout: 0, 1, 2, 3."""
    return torch.arange(4.0)[:, None, None, None, None].expand(4, 2, 3, 8, 8).clone()


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_mixing_labels_are_smoothed_as_torch_does():
    pixels, targets = ClipMixer(classes=3, label_smoothing=0.1)(clips(), LABELS, drawn())
    assert torch.equal(pixels, clips())
    logits = torch.randn(4, 3, generator=drawn())
    torch.testing.assert_close(
        F.cross_entropy(logits, targets), F.cross_entropy(logits, LABELS, label_smoothing=0.1)
    )


def test_mixup_blends_pixels_as_it_blends_labels():
    mixer = ClipMixer(classes=2, label_smoothing=0.0, mixup=1.0)
    pixels, targets = mixer(clips(), LABELS, drawn())
    first = targets[1, 1].item()  # clip 1 of class 1 with clip 2 of class 1
    assert first == pytest.approx(1)
    share = (pixels[0, 0, 0, 0, 0] / 3).item()  # of clip 3 in clip 0
    assert 0 < share < 1
    torch.testing.assert_close(pixels[0], torch.full_like(pixels[0], 3 * share))
    torch.testing.assert_close(pixels[3], torch.full_like(pixels[3], 3 * (1 - share)))


def test_cutmix_pastes_the_same_window_into_all_frames():
    labels = torch.tensor([0, 1, 0, 1])
    mixer = ClipMixer(classes=2, label_smoothing=0.0, cutmix=1.0)
    pixels, targets = mixer(clips(), labels, drawn(1))
    pasted = pixels[0] == 3
    assert set(pixels[0].unique().tolist()) == {0.0, 3.0}
    assert torch.equal(pasted, pasted[:1, :1].expand_as(pasted))
    assert targets[0, 1].item() == pytest.approx(pasted.float().mean().item())


def test_draws_depend_on_the_generator_alone_and_leave_numpys_as_it_was():
    mixer = ClipMixer(classes=2, label_smoothing=0.1, mixup=0.4, cutmix=1.0)
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (mixer(clips(), LABELS, drawn(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_an_odd_batch_is_refused():
    mixer = ClipMixer(classes=2, label_smoothing=0.0, mixup=1.0)
    with pytest.raises(ConfigurationError, match="3 clips at once"):
        mixer(clips()[:3], LABELS[:3], drawn())
