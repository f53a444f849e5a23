"""What the numbers of an inspection say of what textbooks claim: plain sentences, each with the rule that fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..language import Message, counted, join, listed, parts_of, phrase
from . import NETWORKS

Facts = Mapping[str, Any]
Sentence = dict[str, Any]

_SLOPE_RULE = phrase(
    "slope of the layers' medians, and by learning what it is less that of each network's own random start; Student's "
    "95 % interval over networks, {n} or more, on one side of 0",
    n=NETWORKS,
)
_FEATURES_RULE = phrase(
    "{rule}: edge-likeness (best Gabor) falls and class selectivity rises, in itself and by learning", rule=_SLOPE_RULE
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


def _sentence(about: str, text: str, rule: str) -> Sentence:
    return {"about": about, "text": text, "rule": rule, "said": parts_of(text=text, rule=rule)}


def speak_structure(rungs: Sequence[Facts], margin: float) -> list[Sentence]:
    """Which rungs lose what when every image's pixels are shuffled alike."""
    loses = [one for one in rungs if one["change"]["high"] < 0]
    same = [one["rung"] for one in rungs if one["change"]["high"] >= 0 and one["change"]["low"] > -margin]
    told: dict[str, Any] = {"margin": f"{margin:g}"}
    said: list[str] = []
    if loses:
        told["rungs"] = listed([f"{one['rung']} ({one['change']['estimate']:+.3f})" for one in loses])
        if all(_standing(one["change"], margin) == "as well" for one in loses):
            said.append(
                counted(
                    len(loses),
                    "With the pixels shuffled {rungs} does worse: it uses what lies beside what, though by less than "
                    "{margin}.",
                    "With the pixels shuffled {rungs} do worse: they use what lies beside what, though by less than "
                    "{margin}.",
                    **told,
                )
            )
        else:
            said.append(
                counted(
                    len(loses),
                    "With the pixels shuffled {rungs} does worse: it uses what lies beside what.",
                    "With the pixels shuffled {rungs} do worse: they use what lies beside what.",
                    **told,
                )
            )
    if same:
        said.append(
            counted(
                len(same),
                "{rungs} loses nothing that matters when the pixels change places.",
                "{rungs} lose nothing that matters when the pixels change places.",
                rungs=listed(same),
            )
        )
    unsettled = [one["rung"] for one in rungs if one not in loses and one["rung"] not in same]
    if said and unsettled:
        said.append(phrase("For {rungs} it is not settled.", rungs=listed(unsettled)))
    if not said:
        said.append(phrase("Whether any rung uses what lies beside what is not settled by so few patients."))
    rule = phrase("paired 95 % interval of the out-of-part AUROC below 0, or above −{margin}; one fit of each", **told)
    return [_sentence("structure", join(said), rule)]


def speak_taper(taper: Facts, margin: float) -> list[Sentence]:
    """Whether narrowing layers do better than equal ones with as many parameters."""
    told = {
        "change": _change(taper["difference"]),
        "parameters": taper["parameters"],
        "against": taper["against_parameters"],
    }
    text = {
        "better": phrase(
            "Layers that narrow do better here than layers of one width: {change} AUROC at {parameters} and {against} "
            "parameters a network.",
            **told,
        ),
        "worse": phrase(
            "Layers that narrow do worse here than layers of one width: {change} AUROC at {parameters} and {against} "
            "parameters a network.",
            **told,
        ),
        "as well": phrase(
            "Whether layers narrow makes no difference that matters here: {change} AUROC at {parameters} and {against} "
            "parameters a network.",
            **told,
        ),
        "not settled": phrase(
            "Whether layers should narrow is not settled here: {change} AUROC at {parameters} and {against} parameters "
            "a network.",
            **told,
        ),
    }[_standing(taper["difference"], margin)]
    rule = phrase(
        "paired 95 % interval of the out-of-part AUROC against 0 and against ±{margin}; one fit of each",
        margin=f"{margin:g}",
    )
    return [_sentence("taper", text, rule)]


def _lone(layer: Facts) -> Sentence:
    area = layer["regions"]["area"]
    looks = phrase("no region stands out from what random weights would give")
    if area is not None and layer["regions"]["like_noise"] < layer["units"]:
        looks = phrase("half of what counts lies on {share} of the image", share=_percent(area["median"]))
    text = counted(
        layer["units"],
        "One neuron weighs the whole image at once: {looks}.",
        "{n} neurons, one a class, weigh the whole image at once: {looks}.",
        looks=looks,
    )
    rule = phrase(
        "area of the fewest pixels that hold half of the squared weights, smoothed; smaller than at random weights"
    )
    return _sentence("regions", text, rule)


def _regions(layers: Sequence[Facts], slope: Facts) -> Sentence:
    sizes = [
        (_percent(layer["regions"]["area"]["median"]), _name(layer["name"]))
        for layer in layers
        if layer["regions"]["area"] is not None
    ]
    seen = phrase("No unit looks anywhere.")
    if sizes:
        (size, first), *others = sizes
        each = [
            phrase("{share} of the image in {layer}", share=size, layer=first),
            *(phrase("{share} in {layer}", share=size, layer=name) for size, name in others),
        ]
        seen = phrase("Half of what a typical unit looks at lies on {places}.", places=listed(each))
    if slope["verdict"] == "too few networks":
        unclaimed = phrase("Whether regions grow with depth is not claimed from {networks}.", networks=_networks(slope))
        return _sentence("regions", join([seen, unclaimed]) if slope["networks"] else seen, _SLOPE_RULE)
    low, middle, high = (100 * slope["learned"][part] for part in ("low", "estimate", "high"))
    beside = phrase(
        "{change} ({low} to {high}) % of the image a layer beside random starts, {networks}",
        change=f"{middle:+.1f}", low=f"{low:+.1f}", high=f"{high:+.1f}", networks=_networks(slope),
    )  # fmt: skip
    text = phrase("{claim}: {beside}. {seen}", claim=_claim_of_regions(slope), beside=beside, seen=seen)
    return _sentence("regions", text, _SLOPE_RULE)


def _claim_of_regions(slope: Facts) -> Message:
    """Whether regions grow with depth, and what part learning has in it."""
    course = "grow" if slope["own"]["low"] > 0 else "do not grow" if slope["own"]["high"] < 0 else "open"
    return {
        ("grow", "rises"): phrase("Regions grow with depth here, as textbooks draw it, and learning makes them"),
        ("do not grow", "rises"): phrase("Regions do not grow with depth here, though learning draws them that way"),
        ("open", "rises"): phrase("Regions are not shown to grow with depth here, though learning draws them that way"),
        ("grow", "falls"): phrase(
            "Regions grow with depth here by the architecture alone; learning makes the later ones smaller"
        ),
        ("do not grow", "falls"): phrase(
            "Regions do not grow with depth here, against the textbook picture; learning makes the later ones smaller"
        ),
        ("open", "falls"): phrase(
            "Regions are not shown to grow with depth here, against the textbook picture; learning makes the later "
            "ones smaller"
        ),
        ("grow", "not shown"): phrase("Regions grow with depth here; that learning has a part in it is not shown"),
        ("do not grow", "not shown"): phrase(
            "Regions do not grow with depth here; that learning has a part in it is not shown"
        ),
        ("open", "not shown"): phrase(
            "Regions are not shown to grow with depth here; that learning has a part in it is not shown"
        ),
    }[course, slope["verdict"]]


def _features(layers: Sequence[Facts], edges: Facts, classes: Facts) -> Sentence:
    seen = phrase(
        "Medians from first to last layer: edge-likeness {edges}, class selectivity {selectivity}.",
        edges=_span(layers, "edge_likeness"), selectivity=_span(layers, "selectivity"),
    )  # fmt: skip
    if "too few networks" in (edges["verdict"], classes["verdict"]):
        fewer = min(edges, classes, key=lambda slope: slope["networks"])
        unclaimed = phrase("Whether edges turn into objects is not claimed from {networks}.", networks=_networks(fewer))
        return _sentence("features", join([seen, unclaimed]) if fewer["networks"] else seen, _FEATURES_RULE)
    do_fade = edges["own"]["high"] < 0
    fading = {
        (True, "falls"): phrase("edges fade with depth, and learning makes them"),
        (True, "not shown"): phrase("edges fade with depth, but that learning has a part in it is not shown"),
        (True, "rises"): phrase(
            "edges fade with depth, but by the architecture alone, for at random weights they fade more"
        ),
    }.get((do_fade, edges["verdict"]))
    if fading is None and edges["own"]["low"] > 0:
        fading = phrase("later units are the more edge-like ones")
    elif fading is None:
        fading = phrase("early units are not shown to be the more edge-like ones")
    does_tell = classes["own"]["low"] > 0 and classes["verdict"] == "rises"
    telling = (
        phrase("later units tell the classes apart better")
        if does_tell
        else phrase("later units are not shown to tell the classes apart better")
    )
    told = {"fading": fading, "telling": telling, "seen": seen}
    holds = do_fade and edges["verdict"] == "falls"
    if holds and does_tell:
        text = phrase("“From edges to objects” holds here: {fading}; {telling}. {seen}", **told)
    elif holds or does_tell:
        text = phrase("“From edges to objects” holds in part: {fading}; {telling}. {seen}", **told)
    else:
        text = phrase("“From edges to objects” is not shown to hold here: {fading}; {telling}. {seen}", **told)
    return _sentence("features", text, _FEATURES_RULE)


def _span(layers: Sequence[Facts], measure: str) -> Message:
    known = [layer["features"][measure]["median"] for layer in layers if layer["features"][measure] is not None]
    if not known:
        return phrase("unknown")
    return phrase("{low} to {high}", low=f"{known[0]:.2f}", high=f"{known[-1]:.2f}")


def _probe(found: Facts, margin: float) -> Sentence:
    start = found["separable"]["from"]
    told = {
        "layer": start or "",
        "margin": f"{margin:g}",
        "pixels": f"{found['input']['auroc']['estimate']:.3f}",
        "output": f"{found['layers'][-1]['probe']['auroc']['estimate']:.3f}",
    }
    if start is None:
        claim = phrase("The output is not shown to tell the classes apart, so no layer is compared with it")
    elif start == "input":
        claim = phrase(
            "On the pixels the classes are already as linearly separable as at the output, within {margin}", **told
        )
    elif start == "output":
        claim = phrase(
            "In no layer before the output are the classes shown to be as linearly separable, within {margin}", **told
        )
    else:
        claim = phrase(
            "From {layer} on the classes are as linearly separable as at the output, within {margin}", **told
        )
    rule = phrase(
        "first layer from which on every probe's paired 95 % interval to the output's lies above −{margin}; on "
        "patients the network had not learned from",
        **told,
    )
    text = phrase(
        "{claim}: a linear probe scores {pixels} on the pixels and {output} at the output.", **told, claim=claim
    )
    return _sentence("probe", text, rule)


def _extractor(found: Facts, margin: float) -> Sentence:
    words = {
        "better": phrase("does better"),
        "worse": phrase("does worse"),
        "as well": phrase("does as well, within {margin}", margin=f"{margin:g}"),
        "not settled": phrase("is not shown to differ"),
    }
    said = [
        phrase(
            "{classifier} {does} ({change})",
            classifier=other["classifier"], does=words[_standing(other["against_end_to_end"], margin)],
            change=_change(other["against_end_to_end"]),
        )
        for other in found["classifiers"]
    ]  # fmt: skip
    text = phrase(
        "With its front, up to {layer}, under another classifier instead of end to end (AUROC {auroc}): {said}.",
        layer=found["layer"], auroc=f"{found['end_to_end']['estimate']:.3f}", said=listed(said),
    )  # fmt: skip
    rule = phrase(
        "paired 95 % interval of the AUROC on held-out patients against 0 and against ±{margin}", margin=f"{margin:g}"
    )
    return _sentence("extractor", text, rule)


def _standing(change: Facts, margin: float) -> str:
    """Say what an interval of a difference shows; within the margin is «as well», wherever 0 lies."""
    if -margin < change["low"] and change["high"] < margin:
        return "as well"
    if change["high"] < 0:
        return "worse"
    return "better" if change["low"] > 0 else "not settled"


def _name(layer: str) -> str:
    return phrase("the output") if layer == "output" else layer


def _networks(slope: Facts) -> Message:
    return counted(slope["networks"], "{n} network", "{n} networks")


def _percent(share: float) -> Message:
    return phrase("{n} %", n=f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1f}")


def _change(change: Facts) -> Message:
    return phrase(
        "{estimate}, {low} to {high}",
        estimate=f"{change['estimate']:+.3f}", low=f"{change['low']:+.3f}", high=f"{change['high']:+.3f}",
    )  # fmt: skip
