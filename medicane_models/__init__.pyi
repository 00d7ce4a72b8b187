from .domain import MEDITERRANEAN, Grid
from .network.auto import AutoMedicaneModel
from .network.configuration import MedicaneConfig
from .network.modeling import MedicaneForTracking, MedicaneForVideoClassification
from .network.pretraining import MedicaneForPreTraining
from .prediction.predictor import MedicanePredictor, OnnxPredictor
from .scenes.opening import open_scene
from .scenes.processing import MedicaneProcessor

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
