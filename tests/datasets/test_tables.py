"""load_table and load_biographies: the published formats, and what is wrong with a file."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from isonomy.datasets import TABLES, encode_table, load_biographies, load_table
from isonomy.datasets._table_specs import SPECS
from isonomy.errors import DataFileError, InvalidInputError, MissingExtraError

ADULT = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male,"
    " 2174, 0, 40, United-States, <=50K\n"
    "31, ?, 45781, Masters, 14, Never-married, ?, Not-in-family, Black, Female, 14084, 0, 50, ?,"
    " >50K\n\n"
)
ADULT_TEST = (
    "|1x3 Cross validator\n"
    "25, Private, 226802, 11th, 7, Never-married, Sales, Own-child, Black, Male, 0, 0, 40,"
    " United-States, >50K.\n"
)
COMPAS_HEADER = (
    "id,sex,age,age_cat,race,juv_fel_count,decile_score,juv_misd_count,juv_other_count,"
    "priors_count,days_b_screening_arrest,c_charge_degree,is_recid,decile_score,score_text,"
    "priors_count,two_year_recid\n"
)
COMPAS_ROWS = [
    "1,Male,34,25 - 45,African-American,0,3,0,0,2,-1,F,1,3,Low,2,1",
    "2,Female,50,Greater than 45,Caucasian,0,1,0,0,0,30,M,0,1,Low,0,0",
    "3,Male,24,Less than 25,Hispanic,0,4,0,1,4,-30,F,0,4,Low,4,0",
    "4,Male,24,Less than 25,Caucasian,0,4,0,1,4,31,F,0,4,Low,4,0",  # arrested too late
    "5,Male,24,Less than 25,Caucasian,0,4,0,1,4,,F,0,4,Low,4,0",  # not known when
    "6,Male,24,Less than 25,Caucasian,0,4,0,1,4,0,F,-1,4,Low,4,0",  # no case found
    "7,Male,24,Less than 25,Caucasian,0,4,0,1,4,0,O,0,4,Low,4,0",  # ordinary traffic
    "8,Male,24,Less than 25,Caucasian,0,-1,0,1,4,0,F,0,-1,N/A,4,0",  # no score
]
BANK_HEADER = (
    '"age";"job";"marital";"education";"default";"balance";"housing";"loan";"contact";"day";'
    '"month";"duration";"campaign";"pdays";"previous";"poutcome";"y"\n'
)
BANK_ROW = '{};"{}";"{}";"primary";"no";9;"no";"no";"cellular";5;"may";2;1;-1;0;"unknown";"{}"\n'


def compas(folder, rows=COMPAS_ROWS, header=COMPAS_HEADER):
    (folder / "compas-scores-two-years.csv").write_text(header + "\n".join(rows) + "\n")
    return folder


def generated(name, n_rows=40):
    """A table in the layout with a header, of plausible values, as {column: texts}."""
    rng = np.random.default_rng(0)
    spec = SPECS[name]
    numeric = spec.numeric if spec.numeric is not None else ("medIncome", "racepctblack")
    table = {column: rng.integers(0, 9, n_rows).astype(str) for column in numeric}
    table |= {column: rng.choice(["one", "two"], n_rows) for column in spec.categorical}
    for attribute in spec.attributes:
        values = list(attribute.names)[:2] or ["married", "single"]
        table[attribute.column] = np.resize(values, n_rows)
    table[spec.label_columns[0]] = np.resize(list(spec.label)[:2], n_rows)
    if name == "compas":
        table |= {"days_b_screening_arrest": np.full(n_rows, "0.0")}
        table |= {"is_recid": np.full(n_rows, "0"), "score_text": np.full(n_rows, "Low")}
    return table


def write_csv(path, table):
    lines = [",".join(table), *map(",".join, zip(*table.values(), strict=True))]
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def test_adult_is_read_as_uci_publishes_it(tmp_path):
    (tmp_path / "adult.data").write_text(ADULT)
    (tmp_path / "adult.test").write_text(ADULT_TEST)
    adult = load_table("adult", tmp_path)
    assert adult.target.tolist() == [0, 1, 1]
    assert adult.target_names == ("<=50K", ">50K")
    assert adult.sensitive_features.tolist() == ["Male", "Female", "Male"]
    assert adult.groups == ("Female", "Male")
    assert adult.columns["age"].tolist() == [39, 31, 25]
    assert adult.columns["workclass"].tolist() == ["State-gov", "missing", "Private"]
    assert "sex" not in adult.columns
    assert "fnlwgt" not in adult.columns
    assert adult.data.shape == (3, len(adult.feature_names))
    assert np.isfinite(adult.data).all()


@pytest.mark.parametrize("zipped", ["adult.data", "adult.test"])
def test_the_files_of_adult_may_be_one_plain_and_one_gzipped(tmp_path, zipped):
    for name, text in (("adult.data", ADULT), ("adult.test", ADULT_TEST)):
        packed = gzip.compress(text.encode(), mtime=0) if name == zipped else text.encode()
        (tmp_path / (f"{name}.gz" if name == zipped else name)).write_bytes(packed)
    assert len(load_table("adult", tmp_path).target) == 3


def test_adult_without_its_test_file_is_the_training_file_alone(tmp_path):
    (tmp_path / "adult.data").write_text(ADULT)
    assert len(load_table("adult", tmp_path).target) == 2


def test_compas_passes_propublicas_filter_row_by_row(tmp_path):
    table = load_table("compas", compas(tmp_path))
    assert table.sensitive_features.tolist() == ["African-American", "Caucasian", "Hispanic"]
    assert table.target.tolist() == [1, 0, 0]
    assert table.columns["priors_count"].tolist() == [2, 0, 4]
    leaks = {"decile_score", "score_text", "is_recid", "days_b_screening_arrest", "race"}
    assert leaks.isdisjoint(table.columns)


def test_only_the_wanted_groups_are_kept(tmp_path):
    table = load_table("compas", compas(tmp_path), groups=["Caucasian", "Hispanic"])
    assert table.groups == ("Caucasian", "Hispanic")
    assert table.columns["age"].tolist() == [50, 24]


def test_another_column_may_be_the_group_and_takes_its_source_along(tmp_path):
    table = load_table("compas", compas(tmp_path), sensitive="age_cat")
    assert table.sensitive_name == "age_cat"
    assert {"age", "age_cat"}.isdisjoint(table.columns)
    assert "race" in table.columns
    kept = load_table("compas", compas(tmp_path), sensitive="age_cat", include_sensitive=True)
    assert {"age", "age_cat"} <= set(kept.columns)
    assert kept.data.shape[1] > table.data.shape[1]


def test_bank_is_read_with_semicolons_and_quotes_less_the_divorced(tmp_path):
    rows = [(58, "retired", "married", "yes"), (40, "vet", "divorced", "no")]
    rows.append((30, "a;b", "single", "no"))
    text = BANK_HEADER + "".join(BANK_ROW.format(*row) for row in rows)
    (tmp_path / "bank_marketing").mkdir()
    (tmp_path / "bank_marketing" / "bank-full.csv").write_text(text)
    bank = load_table("bank_marketing", tmp_path)
    assert bank.groups == ("married", "single")
    assert bank.target.tolist() == [1, 0]
    assert bank.columns["job"].tolist() == ["retired", "a;b"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_read_with_a_header_and_can_be_fitted(tmp_path, name):
    spec = SPECS[name]
    (tmp_path / spec.folder).mkdir()
    header_file = next(file for file in spec.files if file.header is None)
    write_csv(tmp_path / spec.folder / f"{header_file.name}.gz", generated(name))
    table = load_table(name, tmp_path)
    assert table.data.dtype == np.float64
    assert table.data.shape == (40, len(table.feature_names))
    assert len(table.groups) == 2
    assert set(table.target) == {0, 1}
    assert table.sensitive_name not in table.columns
    for proxy in spec.attributes[0].proxies:
        assert proxy not in table.columns
    assert set(spec.label_columns).isdisjoint(table.columns)
    assert spec.licence in table.description
    assert LogisticRegression().fit(table.data, table.target).classes_.tolist() == [0, 1]


def test_codes_become_words(tmp_path):
    write_csv(tmp_path / "credit_default.csv.gz", generated("credit_default"))
    table = load_table("credit_default", tmp_path)
    assert table.groups == ("female", "male")
    assert table.sensitive_features[:2].tolist() == ["male", "female"]


@pytest.mark.parametrize(("backend", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_a_frame_holds_features_before_encoding_groups_and_target(tmp_path, backend, kind):
    table = load_table("compas", compas(tmp_path), backend=backend)
    assert isinstance(table.frame, kind)
    assert list(table.frame.columns) == [*table.columns, "race", "target"]
    assert list(table.frame["race"]) == table.sensitive_features.tolist()
    assert load_table("compas", compas(tmp_path)).frame is None


def test_a_frame_of_a_library_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install polars"):
        load_table("compas", compas(tmp_path), backend="polars")


def test_the_folder_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ISONOMY_DATA", str(compas(tmp_path)))
    assert len(load_table("compas").target) == 3


def test_no_folder_says_where_to_get_the_file(monkeypatch):
    monkeypatch.delenv("ISONOMY_DATA", raising=False)
    with pytest.raises(DataFileError, match=r"ISONOMY_DATA.*Nothing is downloaded.*propublica"):
        load_table("compas")


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_that_is_not_there_or_empty(tmp_path, make):
    folder = tmp_path / "data"
    if make:
        folder.mkdir()
    with pytest.raises(DataFileError, match="compas_two_years.csv.*get it from"):
        load_table("compas", folder)


def test_a_missing_column_is_named(tmp_path):
    header = COMPAS_HEADER.replace("juv_fel_count", "juvenile")
    with pytest.raises(DataFileError, match="needs the column 'juv_fel_count'"):
        load_table("compas", compas(tmp_path, header=header))
    header = COMPAS_HEADER.replace("days_b_screening_arrest", "days")
    with pytest.raises(DataFileError, match="needs the column 'days_b_screening_arrest'"):
        load_table("compas", compas(tmp_path, header=header))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (COMPAS_ROWS[0].replace("34", "old"), "numbers in the column 'age'"),
        (COMPAS_ROWS[0].replace("34", "inf"), "finite numbers in the column 'age'"),
        (COMPAS_ROWS[0][:-1] + "2", "also has '2'"),
        (COMPAS_ROWS[0].replace("2,-1,F", "2,soon,F"), r"numbers .* \(days_b_screening_arrest"),
        (COMPAS_ROWS[0] + ",9", "record 2 has 18 fields where there are 17"),
    ],
)
def test_a_value_that_is_not_what_was_published(tmp_path, row, message):
    with pytest.raises(DataFileError, match=message):
        load_table("compas", compas(tmp_path, rows=[COMPAS_ROWS[1], row]))


def test_a_truncated_file(tmp_path):
    write_csv(tmp_path / "german_credit.csv.gz", generated("german_credit"))
    whole = (tmp_path / "german_credit.csv.gz").read_bytes()
    (tmp_path / "german_credit.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(DataFileError, match="could not read"):
        load_table("german_credit", tmp_path)


def test_a_file_without_rows(tmp_path):
    with pytest.raises(DataFileError, match="no rows"):
        load_table("compas", compas(tmp_path, rows=[]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "titanic"}, "`name` of `load_table` must be"),
        ({"sensitive": "height"}, "`sensitive` of `load_table` must be"),
        ({"groups": ["Martian"]}, "must list groups of 'race' among African-American"),
        ({"groups": "Caucasian"}, "must list groups"),
        ({"backend": "excel"}, "`backend` of `load_table` must be"),
        ({"encoding": "hash"}, "`encoding` of `encode_table` must be"),
        ({"min_frequency": 2.0}, r"`min_frequency` of `encode_table` must lie in \[0, 0.5\]"),
    ],
)
def test_unknown_arguments(tmp_path, settings, message):
    asked = {"name": "compas"} | settings
    with pytest.raises(InvalidInputError, match=message):
        load_table(folder=compas(tmp_path), **asked)


def test_one_hot_leaves_the_first_category_out_and_pools_rare_ones():
    job = np.array(["cook"] * 6 + ["vet"] * 6 + ["poet", "king"])
    X, names = encode_table({"job": job, "age": np.arange(14.0)})
    assert names == ("job=king", "job=poet", "job=vet", "age")
    assert X[:, 2].tolist() == (job == "vet").tolist()
    assert np.linalg.matrix_rank(X - X.mean(axis=0)) == X.shape[1]
    pooled, names = encode_table({"job": job}, min_frequency=0.2)
    assert names == ("job=vet", "job=(rare)")
    assert pooled[:, 1].tolist() == np.isin(job, ["poet", "king"]).tolist()


def test_ordinal_keeps_one_column_a_column():
    X, names = encode_table({"job": np.array(["b", "a", "c"])}, encoding="ordinal")
    assert X.tolist() == [[1], [0], [2]]
    assert names == ("job",)


def test_lists_are_columns_too():
    X, names = encode_table({"age": [30, 40], "job": ["cook", "vet"]})
    assert X.tolist() == [[30, 0], [40, 1]]
    assert names == ("age", "job=vet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "must hold a column, got none"),
        ({"age": []}, r"at least one row, got shape \(0,\) in 'age'"),
        ({"age": np.ones((2, 2))}, r"got shape \(2, 2\) in 'age'"),
        ({"age": [1, 2], "job": ["cook"]}, r"got shape \(1,\) in 'job'"),
        ({"job": np.array(["cook", None], dtype=object)}, "among the words of 'job'"),
        ({"job": np.array(["cook", np.nan], dtype=object)}, "among the words of 'job'"),
    ],
)
def test_columns_that_cannot_be_encoded(columns, message):
    with pytest.raises(InvalidInputError, match=message):
        encode_table(columns)


def test_biographies_are_read_with_quotes_and_line_breaks(tmp_path):
    text = (
        'text,occupation,gender,split\n"_ sings,\n and ""writes"".",poet,F,train\n_,dentist,M,dev\n'
    )
    (tmp_path / "bios.csv").write_text(text, encoding="utf-8")
    data = load_biographies(tmp_path)
    assert data.text.tolist() == ['_ sings,\n and "writes".', "_"]
    assert data.occupation.tolist() == ["poet", "dentist"]
    assert data.gender.tolist() == ["F", "M"]
    assert data.split.tolist() == ["train", "dev"]


def test_biographies_without_a_column(tmp_path):
    (tmp_path / "bios.csv").write_text("text,occupation\na,b\n")
    with pytest.raises(DataFileError, match="lacks gender, split"):
        load_biographies(tmp_path)


REAL = {  # rows, rows of target 1, share of the first group: the README beside the data
    "adult": (32_561, 7_841, 10_771 / 32_561),
    "compas": (6_172, 2_809, 3_175 / 6_172),
    "law_school": (20_798, 18_505, 3_307 / 20_798),
    "credit_default": (30_000, 6_636, 18_112 / 30_000),
    "bank_marketing": (40_004, 4_667, 27_214 / 40_004),
    "communities": (1_994, 122, 956 / 1_994),
    "german_credit": (1_000, 700, 310 / 1_000),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", TABLES)
def test_the_real_files_have_the_published_counts(shared_data, name):
    table = load_table(name, shared_data)
    n_rows, n_positive, first_group = REAL[name]
    assert len(table.target) == n_rows
    assert table.target.sum() == n_positive
    share = (table.sensitive_features == table.groups[0]).mean()
    assert share == pytest.approx(first_group, abs=1e-12)


@pytest.mark.shared_data
def test_the_real_adult_shares_are_those_of_the_readme(shared_data):
    adult = load_table("adult", shared_data)
    women = adult.sensitive_features == "Female"
    assert adult.target[women].mean() == pytest.approx(0.109, abs=5e-4)
    assert adult.target[~women].mean() == pytest.approx(0.306, abs=5e-4)


@pytest.mark.shared_data
def test_the_real_biographies_have_the_published_counts(shared_data):
    data = load_biographies(shared_data)
    assert [int((data.split == s).sum()) for s in ("train", "dev", "test")] == [
        10_000,
        2_000,
        2_000,
    ]
    assert len(np.unique(data.occupation)) == 28
    assert (data.gender == "M").mean() == pytest.approx(0.53, abs=0.005)
