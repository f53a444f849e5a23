"""What the numbers of an inspection say of what textbooks claim: plain sentences, each with the rule that fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import NETWORKS

Facts = Mapping[str, Any]
Sentence = dict[str, str]

_SLOPE_RULE = (
    "slope of the layers' medians, and by learning what it is less that of each network's own random start; "
    f"Student's 95 % interval over networks, {NETWORKS} or more, on one side of 0"
)


def speak(found: Facts, margin: float) -> list[Sentence]:
    """Sentences on one network: its regions, features, probes and use as an extractor."""
    layers = found["layers"]
    if len(layers) == 1:
        return [_lone(layers[0])]
    slopes = {slope["measure"]: slope for slope in found["slopes"]}
    said = [_regions(layers, slopes["area"]), _features(layers, slopes["edge_likeness"], slopes["selectivity"])]
    if found["separable"] is not None:
        said.append(_probe(found, margin))
    if found["extractor"] is not None:
        said.append(_extractor(found["extractor"], margin))
    return said


def speak_structure(rungs: Sequence[Facts], margin: float) -> list[Sentence]:
    """Which rungs lose what when every image's pixels are shuffled alike."""
    loses = [one for one in rungs if one["change"]["high"] < 0]
    same = [one["rung"] for one in rungs if one["change"]["high"] >= 0 and one["change"]["low"] > -margin]
    said = []
    if loses:
        listed = _listed([f"{one['rung']} ({one['change']['estimate']:+.3f})" for one in loses])
        use = "does worse: it uses" if len(loses) == 1 else "do worse: they use"
        small = all(_standing(one["change"], margin) == "as well" for one in loses)
        by = f", though by less than {margin:g}" if small else ""
        said.append(f"With the pixels shuffled {listed} {use} what lies beside what{by}.")
    if same:
        lose = "loses" if len(same) == 1 else "lose"
        said.append(f"{_listed(same)} {lose} nothing that matters when the pixels change places.")
    unsettled = [one["rung"] for one in rungs if one not in loses and one["rung"] not in same]
    if said and unsettled:
        said.append(f"For {_listed(unsettled)} it is not settled.")
    if not said:
        said.append("Whether any rung uses what lies beside what is not settled by so few patients.")
    rule = f"paired 95 % interval of the out-of-part AUROC below 0, or above −{margin:g}; one fit of each"
    return [{"about": "structure", "text": " ".join(said), "rule": rule}]


def speak_taper(taper: Facts, margin: float) -> list[Sentence]:
    """Whether narrowing layers do better than equal ones with as many parameters."""
    claim = {
        "better": "Layers that narrow do better here than layers of one width",
        "worse": "Layers that narrow do worse here than layers of one width",
        "as well": "Whether layers narrow makes no difference that matters here",
        "not settled": "Whether layers should narrow is not settled here",
    }[_standing(taper["difference"], margin)]
    sizes = f"{taper['parameters']:,} and {taper['against_parameters']:,} parameters a network"
    rule = f"paired 95 % interval of the out-of-part AUROC against 0 and against ±{margin:g}; one fit of each"
    return [
        {"about": "taper", "text": f"{claim}: {_change(taper['difference'])} AUROC at {sizes}.", "rule": rule},
    ]


def _lone(layer: Facts) -> Sentence:
    neurons = "One neuron weighs" if layer["units"] == 1 else f"{layer['units']} neurons, one a class, weigh"
    area = layer["regions"]["area"]
    looks = "no region stands out from what random weights would give"
    if area is not None and layer["regions"]["like_noise"] < layer["units"]:
        looks = f"half of what counts lies on {_percent(area['median'])} of the image"
    rule = "area of the fewest pixels that hold half of the squared weights, smoothed; smaller than at random weights"
    return {"about": "regions", "text": f"{neurons} the whole image at once: {looks}.", "rule": rule}


def _regions(layers: Sequence[Facts], slope: Facts) -> Sentence:
    sizes = [
        (_percent(layer["regions"]["area"]["median"]), "the output" if layer["name"] == "output" else layer["name"])
        for layer in layers
        if layer["regions"]["area"] is not None
    ]
    seen = "No unit looks anywhere."
    if sizes:
        (size, first), *others = sizes
        listed = _listed([f"{size} of the image in {first}", *(f"{size} in {name}" for size, name in others)])
        seen = f"Half of what a typical unit looks at lies on {listed}."
    if slope["verdict"] == "too few networks":
        text = f"{seen}{_unclaimed('regions grow with depth', slope)}"
        return {"about": "regions", "text": text, "rule": _SLOPE_RULE}
    do_grow = slope["own"]["low"] > 0
    grow = "grow" if do_grow else "do not grow" if slope["own"]["high"] < 0 else "are not shown to grow"
    claim = {
        "rises": "Regions grow with depth here, as textbooks draw it, and learning makes them"
        if do_grow
        else f"Regions {grow} with depth here, though learning draws them that way",
        "falls": "Regions grow with depth here by the architecture alone; learning makes the later ones smaller"
        if do_grow
        else f"Regions {grow} with depth here, against the textbook picture; learning makes the later ones smaller",
        "not shown": f"Regions {grow} with depth here; that learning has a part in it is not shown",
    }[slope["verdict"]]
    low, middle, high = (100 * slope["learned"][part] for part in ("low", "estimate", "high"))
    beside = f"{middle:+.1f} ({low:+.1f} to {high:+.1f}) % of the image a layer beside random starts"
    return {"about": "regions", "text": f"{claim}: {beside}, {_networks(slope)}. {seen}", "rule": _SLOPE_RULE}


def _features(layers: Sequence[Facts], edges: Facts, classes: Facts) -> Sentence:
    rule = f"{_SLOPE_RULE}: edge-likeness (best Gabor) falls and class selectivity rises, in itself and by learning"
    seen = f"Medians from first to last layer: edge-likeness {_span(layers, 'edge_likeness')}, "
    seen += f"class selectivity {_span(layers, 'selectivity')}."
    if "too few networks" in (edges["verdict"], classes["verdict"]):
        fewer = min(edges, classes, key=lambda slope: slope["networks"])
        text = f"{seen}{_unclaimed('edges turn into objects', fewer)}"
        return {"about": "features", "text": text, "rule": rule}
    do_fade = edges["own"]["high"] < 0
    who = "later units are" if edges["own"]["low"] > 0 else "early units are not shown to be"
    fading = {
        (True, "falls"): "edges fade with depth, and learning makes them",
        (True, "not shown"): "edges fade with depth, but that learning has a part in it is not shown",
        (True, "rises"): "edges fade with depth, but by the architecture alone, for at random weights they fade more",
    }.get((do_fade, edges["verdict"]), f"{who} the more edge-like ones")
    does_tell = classes["own"]["low"] > 0 and classes["verdict"] == "rises"
    telling = f"later units {'tell' if does_tell else 'are not shown to tell'} the classes apart better"
    holds = do_fade and edges["verdict"] == "falls"
    claim = "“From edges to objects” is not shown to hold here"
    if holds and does_tell:
        claim = "“From edges to objects” holds here"
    elif holds or does_tell:
        claim = "“From edges to objects” holds in part"
    return {"about": "features", "text": f"{claim}: {fading}; {telling}. {seen}", "rule": rule}


def _unclaimed(claim: str, slope: Facts) -> str:
    """Nothing where no network was measured while it was trained, as on another cohort."""
    return f" Whether {claim} is not claimed from {_networks(slope)}." if slope["networks"] else ""


def _span(layers: Sequence[Facts], measure: str) -> str:
    known = [layer["features"][measure]["median"] for layer in layers if layer["features"][measure] is not None]
    return f"{known[0]:.2f} to {known[-1]:.2f}" if known else "unknown"


def _probe(found: Facts, margin: float) -> Sentence:
    start = found["separable"]["from"]
    pixels, output = found["input"]["auroc"]["estimate"], found["layers"][-1]["probe"]["auroc"]["estimate"]
    if start is None:
        claim = "The output is not shown to tell the classes apart, so no layer is compared with it"
    elif start == "input":
        claim = f"On the pixels the classes are already as linearly separable as at the output, within {margin:g}"
    elif start == "output":
        claim = f"In no layer before the output are the classes shown to be as linearly separable, within {margin:g}"
    else:
        claim = f"From {start} on the classes are as linearly separable as at the output, within {margin:g}"
    rule = (
        "first layer from which on every probe's paired 95 % interval to the output's lies above "
        f"−{margin:g}; on patients the network had not learned from"
    )
    text = f"{claim}: a linear probe scores {pixels:.3f} on the pixels and {output:.3f} at the output."
    return {"about": "probe", "text": text, "rule": rule}


def _extractor(found: Facts, margin: float) -> Sentence:
    words = {
        "better": "does better",
        "worse": "does worse",
        "as well": f"does as well, within {margin:g}",
        "not settled": "is not shown to differ",
    }
    said = [
        f"{other['classifier']} {words[_standing(other['against_end_to_end'], margin)]} "
        f"({_change(other['against_end_to_end'])})"
        for other in found["classifiers"]
    ]
    text = (
        f"With its front, up to {found['layer']}, under another classifier instead of end to end "
        f"(AUROC {found['end_to_end']['estimate']:.3f}): {_listed(said)}."
    )
    rule = f"paired 95 % interval of the AUROC on held-out patients against 0 and against ±{margin:g}"
    return {"about": "extractor", "text": text, "rule": rule}


def _standing(change: Facts, margin: float) -> str:
    """Say what an interval of a difference shows; within the margin is «as well», wherever 0 lies."""
    if -margin < change["low"] and change["high"] < margin:
        return "as well"
    if change["high"] < 0:
        return "worse"
    return "better" if change["low"] > 0 else "not settled"


def _networks(slope: Facts) -> str:
    return "1 network" if slope["networks"] == 1 else f"{slope['networks']} networks"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _change(change: Facts) -> str:
    return f"{change['estimate']:+.3f}, {change['low']:+.3f} to {change['high']:+.3f}"
