"""Embedders, the hnswlib index and the guidelines corpus."""

from semihvision.retrieval.audit import AuditReport, audit
from semihvision.retrieval.build import BuildReport, build_index
from semihvision.retrieval.cases import case_text
from semihvision.retrieval.guidelines import demo_guidelines
from semihvision.retrieval.hit import Hit
from semihvision.retrieval.index import HnswSettings
from semihvision.retrieval.search import Retriever

__all__ = [
    "AuditReport",
    "BuildReport",
    "Hit",
    "HnswSettings",
    "Retriever",
    "audit",
    "build_index",
    "case_text",
    "demo_guidelines",
]
