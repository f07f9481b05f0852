"""What is known of each text set: its files, its columns, what its codes mean, whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["OUT_OF_SCOPE", "TEXT_SPECS", "TextSpec"]

OUT_OF_SCOPE = "oos"
"""CLINC150's label of questions that none of its intents answers."""

_STACK_OVERFLOW = (
    "wordpress oracle svn apache excel matlab visual-studio cocoa osx bash "
    "spring hibernate scala sharepoint ajax qt drupal linq haskell magento"
)
_GO_EMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire "
    "disappointment disapproval disgust embarrassment excitement fear gratitude grief joy love "
    "nervousness optimism pride realization relief remorse sadness surprise neutral"
)
_TREC_COARSE = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human being",
    "LOC": "location",
    "NUM": "number",
}
_TREC_FINE = {
    "abb": "abbreviation", "exp": "expression abbreviated", "animal": "animal", "body": "organ of "
    "the body", "color": "color", "cremat": "creative work", "currency": "currency", "dismed":
    "disease or medicine", "event": "event", "food": "food", "instru": "musical instrument",
    "lang": "language", "letter": "letter", "other": "other", "plant": "plant", "product":
    "product", "religion": "religion", "sport": "sport", "substance": "substance", "symbol":
    "symbol", "techmeth": "technique or method", "termeq": "equivalent term", "veh": "vehicle",
    "word": "word", "def": "definition", "desc": "description", "manner": "manner", "reason":
    "reason", "gr": "group or organization", "ind": "individual", "title": "title", "city": "city",
    "country": "country", "mount": "mountain", "state": "state", "code": "code", "count": "count",
    "date": "date", "dist": "distance", "money": "money", "ord": "order", "period": "period",
    "perc": "percentage", "speed": "speed", "temp": "temperature", "volsize": "size or volume",
    "weight": "weight",
}  # fmt: skip


@dataclass(frozen=True)
class TextSpec:
    """One text set.

    ``files`` are the CSV files by variant, ``labels`` the columns of the labels by level; the
    first of each is the default. ``codes`` are the classes in the order of their codes, from
    ``first_code`` on, where the file holds codes. ``readable`` says what a label means where
    its own spelling does not.
    """

    folder: str
    files: Mapping[str, str]
    source: str
    licence: str
    title: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"label": "label"}))
    codes: tuple[str, ...] = ()
    first_code: int = 0
    readable: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    coarse: str | None = None
    many: bool = False


def _tweets(task: str, title: str, codes: tuple[str, ...]) -> TextSpec:
    return TextSpec(
        folder="tweeteval",
        files={"tweeteval": f"{task}.csv"},
        source="https://github.com/cardiffnlp/tweeteval",
        licence="the original data sets' terms and Twitter's",
        title=title,
        codes=codes,
    )


def _trec_readable() -> dict[str, str]:
    coarse = {k.upper(): v for k, v in _TREC_COARSE.items()}
    fine = {f"{k}:{name}": f"{v}: {word}" for k, v in coarse.items() for name, word in
            _TREC_FINE.items()}  # fmt: skip
    return {**coarse, **fine}


TEXT_SPECS: Mapping[str, TextSpec] = MappingProxyType(
    {
        "banking77": TextSpec(
            folder="banking77",
            files={"banking77": "banking77.csv"},
            source="https://github.com/PolyAI-LDN/task-specific-datasets",
            licence="CC BY 4.0",
            title="Banking77: questions to a bank, 77 intents",
        ),
        "trec": TextSpec(
            folder="trec",
            files={"trec": "trec.csv"},
            source="https://cogcomp.seas.upenn.edu/Data/QA/QC",
            licence="none stated",
            title="TREC: open-domain questions by the kind of answer",
            labels={"fine": "fine", "coarse": "coarse"},
            readable=_trec_readable(),
            coarse="coarse",
        ),
        "clinc150": TextSpec(
            folder="clinc150",
            files={
                name: f"clinc150_{name}.csv" for name in ("full", "imbalanced", "small", "oos_plus")
            },
            source="https://github.com/clinc/oos-eval",
            licence="CC BY 3.0",
            title="CLINC150: questions to an assistant, 150 intents, and some out of scope",
            readable={OUT_OF_SCOPE: "out of scope"},
        ),
        "hwu64": TextSpec(
            folder="hwu64",
            files={"fold1": "hwu64_fold1.csv"},
            source="https://github.com/xliuhw/NLU-Evaluation-Data",
            licence="CC BY 4.0",
            title="HWU64: questions to a home robot, 64 intents",
            coarse="scenario",
        ),
        "goemotions": TextSpec(
            folder="goemotions",
            files={"goemotions": "goemotions.csv"},
            source="https://github.com/google-research/google-research/tree/master/goemotions",
            licence="Apache-2.0",
            title="GoEmotions: Reddit comments, 27 emotions and neutral",
            labels={"label": "labels"},
            codes=tuple(_GO_EMOTIONS.split()),
            many=True,
        ),
        "stackoverflow20": TextSpec(
            folder="stackoverflow20",
            files={"stackoverflow20": "stackoverflow20.csv"},
            source="https://github.com/amazon-science/Glean",
            licence="Apache-2.0; the titles CC BY-SA",
            title="StackOverflow-20: titles of questions, 20 tags",
            codes=tuple(_STACK_OVERFLOW.split()),
            first_code=1,
        ),
        "sst5": TextSpec(
            folder="sst5",
            files={"sst5": "sst5.csv"},
            source="https://nlp.stanford.edu/sentiment",
            licence="none stated",
            title="SST-5: sentences of film reviews, five grades",
            codes=("very negative", "negative", "neutral", "positive", "very positive"),
        ),
        "tweeteval_emotion": _tweets(
            "emotion", "TweetEval, emotion", ("anger", "joy", "optimism", "sadness")
        ),
        "tweeteval_hate": _tweets("hate", "TweetEval, hate speech", ("not-hate", "hate")),
        "tweeteval_irony": _tweets("irony", "TweetEval, irony", ("non_irony", "irony")),
        "tweeteval_offensive": _tweets(
            "offensive", "TweetEval, offensive language", ("not-offensive", "offensive")
        ),
        "tweeteval_sentiment": _tweets(
            "sentiment", "TweetEval, sentiment", ("negative", "neutral", "positive")
        ),
        **{
            f"tweeteval_stance_{topic}": _tweets(
                f"stance_{topic}", f"TweetEval, stance on {topic}", ("none", "against", "favor")
            )
            for topic in ("abortion", "atheism", "climate", "feminist", "hillary")
        },
    }
)
