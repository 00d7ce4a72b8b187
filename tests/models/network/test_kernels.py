import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel

from medicane_models.network import kernels
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.kernels import linear, linear_gelu
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.network.routes import Routes

ALL, NONE = Routes(product=True, turned=True, gelu=True), Routes()
CHOICES = {
    "onednn": ALL,
    "pytorch": NONE,
    "product": Routes(product=True),
    "gelu": Routes(gelu=True),
}


@pytest.fixture(autouse=True, params=CHOICES)
def chosen(request, monkeypatch):
    """Every choice that a machine may make, for matrices of any size."""
    monkeypatch.setattr(kernels, "LEAST_WORK", 0)
    monkeypatch.setattr(kernels, "routes_here", lambda threads: CHOICES[request.param])


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return torch.randn(2, 5, 12), torch.randn(8, 12), torch.randn(8)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_all_paths_agree_with_pytorch(context, inputs):
    x, weight, bias = inputs
    with context():
        torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias))
        torch.testing.assert_close(linear(x, weight, None), F.linear(x, weight))
        expected = F.gelu(F.linear(x, weight, bias))
        torch.testing.assert_close(linear_gelu(x, weight, bias), expected, atol=1e-6, rtol=1e-5)


def test_parts_of_a_weight_and_strided_inputs(inputs):
    x, weight, bias = inputs
    with torch.inference_mode():
        turned = x.transpose(0, 1)
        torch.testing.assert_close(
            linear(turned, weight[3:], bias[3:]), F.linear(turned, weight[3:], bias[3:])
        )


@pytest.mark.parametrize("function", [linear, linear_gelu])
def test_gradients_are_pytorch_s(function, inputs):
    expected = {linear: F.linear, linear_gelu: lambda *all: F.gelu(F.linear(*all))}[function]
    gradients = []
    for f in (function, expected):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        f(*leaves).square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_gradients_of_some_inputs_only(inputs):
    x, weight, bias = inputs
    linear(x, weight.requires_grad_(), bias).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum((0, 1)).expand_as(weight))
    assert x.grad is None


def test_other_types_and_autocast_are_left_to_pytorch(inputs):
    x, weight, bias = inputs
    with torch.no_grad():
        assert linear(x.bfloat16(), weight.bfloat16(), bias.bfloat16()).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, weight, bias).dtype == torch.bfloat16


def total(function, x, weight, bias):
    """A number that depends on its inputs in a curved way."""
    return function(x, weight, bias).tanh().square().sum()


@pytest.mark.parametrize("which", range(3))
def test_hessian_vector_products_are_pytorch_s(which, inputs):
    def product(function):
        def of_one(tensor):
            return total(function, *inputs[:which], tensor, *inputs[which + 1 :])

        return torch.autograd.functional.hvp(of_one, inputs[which], torch.ones_like(inputs[which]))

    torch.testing.assert_close(product(linear), product(F.linear), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Input #:UserWarning")  # single precision is what is tested
@pytest.mark.parametrize("biased", [True, False])
def test_second_derivatives_are_differences_of_first_ones(biased, inputs):
    x, weight, bias = (tensor[..., :4].clone().requires_grad_() for tensor in inputs)
    weight = weight[:4].detach().requires_grad_()
    leaves = (x, weight, bias) if biased else (x, weight)

    def curved(x, weight, bias=None):
        return linear(x, weight, bias).square()

    tolerances = {"eps": 1e-2, "atol": 5e-2, "rtol": 1e-2, "nondet_tol": 1e-4}
    assert torch.autograd.gradgradcheck(curved, leaves, **tolerances)


BATCH, WEIGHT = torch.ones(2, 12), torch.linspace(-1, 1, 96).reshape(8, 12)
TRANSFORMS = {
    "hessian of bias": lambda f: torch.func.hessian(lambda b: f(BATCH, WEIGHT, b)),
    "hessian of x": lambda f: torch.func.hessian(lambda b: f(b.expand(2, -1), WEIGHT.t(), None)),
    "gradient": lambda f: torch.func.grad(lambda b: f(BATCH, WEIGHT, b)),
    "each sample's": lambda f: torch.vmap(torch.func.grad(lambda b: f(BATCH, WEIGHT + b, None))),
    "forward": lambda f: lambda b: torch.func.jvp(lambda b: f(BATCH, WEIGHT, b), (b,), (b,)),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_torch_func_are_pytorch_s(name, inputs):
    ours = TRANSFORMS[name](lambda *all: total(linear, *all))(inputs[2])
    theirs = TRANSFORMS[name](lambda *all: total(F.linear, *all))(inputs[2])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("function", [linear, linear_gelu])
def test_forward_derivatives_are_kept_without_a_graph(function, inputs):
    x, weight, bias = inputs
    with torch.autograd.forward_ad.dual_level(), torch.no_grad():
        dual = torch.autograd.forward_ad.make_dual(weight, weight)
        assert torch.autograd.forward_ad.unpack_dual(function(x, dual, bias)).tangent is not None


def test_one_row_without_a_batch_has_gradients(inputs):
    row, weight, bias = inputs[0][0, 0].requires_grad_(), *inputs[1:]
    linear(row, weight, bias).sum().backward()
    torch.testing.assert_close(row.grad, weight.sum(0))


def test_models_have_second_derivatives():
    config = MedicaneConfig(
        embed_dim=12, depth=1, num_heads=2, mlp_hidden_dim=16, image_size=32, num_frames=2
    )
    model = MedicaneForVideoClassification(config).eval()
    clip = torch.randn(1, *config.clip_shape)

    def loss(head):
        return torch.func.functional_call(model, {"patch_embed.proj.bias": head}, clip).logits.sum()

    with sdpa_kernel(SDPBackend.MATH):  # PyTorch's fused attention has first derivatives only
        _, product = torch.autograd.functional.hvp(loss, torch.ones(12), torch.ones(12))
    assert product.isfinite().all()
    assert product.any()
