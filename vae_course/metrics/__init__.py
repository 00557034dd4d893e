"""Measures that are not bounds: `pictures` (errors, also where they are), `ranking` (the area under the ROC curve,
clusters against classes), `features` (the Fréchet distance), `geometry` (angles of subspaces, connected pieces)."""

from vae_course.metrics.features import DigitFeatures, frechet_distance
from vae_course.metrics.geometry import connected_share, principal_angles
from vae_course.metrics.pictures import error_map, mean_squared_error, peak_signal_to_noise, structural_similarity
from vae_course.metrics.ranking import AreaUnderRoc, area_under_roc, cluster_accuracy

__all__ = [
    "AreaUnderRoc",
    "DigitFeatures",
    "area_under_roc",
    "cluster_accuracy",
    "connected_share",
    "error_map",
    "frechet_distance",
    "mean_squared_error",
    "peak_signal_to_noise",
    "principal_angles",
    "structural_similarity",
]
