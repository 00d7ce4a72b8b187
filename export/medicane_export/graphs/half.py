"""Half precision where it pays: matrix products of the blocks, as automatic mixed precision has it.

Norms, softmax, residual sums, the patch embedding, the head and all of the geography stay in
float32; inputs and outputs, too.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from medicane_models.runtimes.onnx_metadata import Precision

if TYPE_CHECKING:
    from onnx_ir import DataType, Graph, Model, Node, Value

__all__ = ["in_half", "rounded_like"]

PRODUCTS = ("MatMul", "Gemm")
FOLLOWING = ("Gelu", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
WITH_CONSTANT = ("Add", "Mul")
"""Of a product and a bias or a layer's scale; a sum with the residual stays in float32."""

SCOPES = "pkg.torch.onnx.name_scopes"
BLOCKS = ".blocks."


def in_half(model: "Model", precision: Precision) -> "Model":
    """A copy of a traced float32 graph in "fp16" or "bf16"."""
    return _lowered(model, precision, rounded=False)


def rounded_like(model: "Model", precision: Precision) -> "Model":
    """A copy in float32 whose values are rounded wherever `in_half` would.

    It computes what hardware does that multiplies in half precision and adds in float32, on any
    processor.
    """
    return _lowered(model, precision, rounded=True)


def in_blocks(node: "Node") -> bool:
    """Whether an operator of a traced graph belongs to a transformer block."""
    return BLOCKS in node.metadata_props.get(SCOPES, "")


def _lowered(model: "Model", precision: Precision, *, rounded: bool) -> "Model":
    import onnx_ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    kind = {"fp16": onnx_ir.DataType.FLOAT16, "bf16": onnx_ir.DataType.BFLOAT16}[precision]
    copy = model.clone()
    _Lowering(copy.graph, kind, rounded=rounded).run()
    RemoveUnusedNodesPass()(copy)
    return copy


class _Lowering:
    """One pass over a sorted graph; it knows which values are in half precision so far."""

    def __init__(self, graph: "Graph", kind: "DataType", *, rounded: bool) -> None:
        import onnx_ir

        self.graph = graph
        self.kind = kind
        self.full = onnx_ir.DataType.FLOAT
        self.rounded = rounded
        self.half: set[Value] = set()
        self.made: dict[tuple[Value, DataType], Value] = {}

    def run(self) -> None:
        for node in list(self.graph):
            if self._in_half(node):
                self._lower(node)
            else:
                self._inputs(node, lambda value: value in self.half, self._to_full)

    def _in_half(self, node: "Node") -> bool:
        if not in_blocks(node):
            return False
        first = node.inputs[0] in self.half
        if node.op_type in WITH_CONSTANT:
            others = [value for value in node.inputs if value not in self.half]
            return len(others) == 1 and others[0] is not None and others[0].is_initializer()
        return node.op_type in PRODUCTS or (first and node.op_type in FOLLOWING)

    def _lower(self, node: "Node") -> None:
        import onnx_ir

        self._inputs(node, lambda value: value not in self.half, self._to_half)
        output = node.outputs[0]
        if not self.rounded:
            output.type = onnx_ir.TensorType(self.kind)  # copies of a model share types
        elif node.op_type not in FOLLOWING or node.op_type == "Gelu":
            output = self._round(output)
        self.half.add(output)

    def _inputs(
        self, node: "Node", which: "Callable[[Value], bool]", change: "Callable[[Value], Value]"
    ) -> None:
        for place, value in enumerate(node.inputs):
            if value is not None and value.dtype in (self.full, self.kind) and which(value):
                node.replace_input_with(place, change(value))

    def _to_half(self, value: "Value") -> "Value":
        if (value, self.kind) not in self.made:
            make = self._constant if value.is_initializer() else self._halved
            self.made[value, self.kind] = make(value)
        return self.made[value, self.kind]

    def _to_full(self, value: "Value") -> "Value":
        if self.rounded:
            return value
        if (value, self.full) not in self.made:
            self.made[value, self.full] = self._cast(value, self.full)
        return self.made[value, self.full]

    def _halved(self, value: "Value") -> "Value":
        half = self._cast(value, self.kind)
        return self._cast(half, self.full) if self.rounded else half

    def _round(self, value: "Value") -> "Value":
        uses = list(value.uses())
        rounded = self._halved(value)
        for node, place in uses:
            node.replace_input_with(place, rounded)
        return rounded

    def _cast(self, value: "Value", kind: "DataType") -> "Value":
        """After the operator that made the value, or first of all for an input."""
        import onnx_ir

        node = onnx_ir.node("Cast", [value], {"to": kind})
        node.outputs[0].name = f"{value.name}_{kind.name.lower()}"
        node.outputs[0].type = onnx_ir.TensorType(kind)
        node.outputs[0].shape = value.shape
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.insert_after(producer, node)
        return node.outputs[0]

    def _constant(self, value: "Value") -> "Value":
        import onnx_ir

        assert value.const_value is not None
        array = value.const_value.numpy().astype(self.kind.numpy())
        array = array.astype(np.float32) if self.rounded else array
        name = f"{value.name}_{self.kind.name.lower()}"
        new = onnx_ir.val(name, const_value=onnx_ir.tensor(array, name=name))
        self.graph.register_initializer(new)
        return new
