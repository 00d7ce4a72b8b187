from .checkpoints import AutoMedicaneModel
from .configuration import MedicaneConfig
from .domain import MEDITERRANEAN, Grid
from .modeling import MedicaneForTracking, MedicaneForVideoClassification
from .predictor import MedicanePredictor, OnnxPredictor
from .pretraining import MedicaneForPreTraining
from .processing import MedicaneProcessor
from .scenes import open_scene

__all__ = [
    "MEDITERRANEAN",
    "AutoMedicaneModel",
    "Grid",
    "MedicaneConfig",
    "MedicaneForPreTraining",
    "MedicaneForTracking",
    "MedicaneForVideoClassification",
    "MedicanePredictor",
    "MedicaneProcessor",
    "OnnxPredictor",
    "open_scene",
]
