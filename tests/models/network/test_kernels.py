import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from medicane_models.network.kernels import linear, linear_gelu


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
