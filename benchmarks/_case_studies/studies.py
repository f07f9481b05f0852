"""The list of all case studies, in the order in which the index tells them."""

from __future__ import annotations

from _case_studies import (
    generate,
    generate_figure,
    generate_page,
    incomes,
    incomes_figure,
    incomes_page,
    multivariate,
    multivariate_figure,
    multivariate_page,
    normals,
    normals_figure,
    normals_page,
    risk,
    risk_figure,
    risk_page,
    tables,
    tables_figure,
    tables_page,
)
from _case_studies.study import Study

__all__ = ["STUDIES"]

_ALL = (
    Study(
        "normals",
        "Two groups on a line",
        normals.compute,
        normals_page.page,
        normals_figure.FIGURES,
    ),
    Study(
        "incomes",
        "Incomes and credit: the story in money",
        incomes.compute,
        incomes_page.page,
        incomes_figure.FIGURES,
    ),
    Study(
        "multivariate",
        "Many variables",
        multivariate.compute,
        multivariate_page.page,
        multivariate_figure.FIGURES,
    ),
    Study(
        "risk",
        "Where steering lowers the risk, and where it raises it",
        risk.compute,
        risk_page.page,
        risk_figure.FIGURES,
    ),
    Study(
        "tables",
        "Five real tables",
        tables.compute,
        tables_page.page,
        tables_figure.FIGURES,
    ),
    Study(
        "generate",
        "Training on rows drawn from the ideal law",
        generate.compute,
        generate_page.page,
        generate_figure.FIGURES,
    ),
)

STUDIES: dict[str, Study] = {study.name: study for study in _ALL}
