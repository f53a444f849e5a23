"""The works that a study's methods come from, for the paper's text and as BibTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Reference:
    """One work; `cited` is how the text names it, `fields` those of its BibTeX entry that are known for certain."""

    kind: str
    cited: str
    fields: tuple[tuple[str, str], ...]

    @property
    def link(self) -> str | None:
        """Where the work is found."""
        known = dict(self.fields)
        if "doi" in known:
            return f"https://doi.org/{quote(known['doi'], safe='/():;.')}"
        return f"https://arxiv.org/abs/{known['eprint']}" if "eprint" in known else known.get("url")


def _article(cited: str, author: str, title: str, journal: str, year: int, **fields: str) -> Reference:
    known = {"author": author, "title": title, "journal": journal, "year": str(year), **fields}
    return Reference("article", cited, tuple(known.items()))


def _preprint(cited: str, author: str, title: str, year: int, eprint: str) -> Reference:
    known = {"author": author, "title": title, "year": str(year), "eprint": eprint, "archiveprefix": "arXiv"}
    return Reference("misc", cited, tuple(known.items()))


def _in_book(cited: str, author: str, title: str, booktitle: str, year: int, **fields: str) -> Reference:
    known = {"author": author, "title": title, "booktitle": booktitle, "year": str(year), **fields}
    return Reference("inproceedings", cited, tuple(known.items()))


REFERENCES = {
    "alain2016": _preprint(
        "Alain & Bengio 2016", "Alain, Guillaume and Bengio, Yoshua",
        "Understanding intermediate layers using linear classifier probes", 2016, "1610.01644",
    ),
    "boyd2013": _in_book(
        "Boyd et al. 2013", "Boyd, Kendrick and Eng, Kevin H. and Page, C. David",
        "Area under the precision-recall curve: point estimates and confidence intervals",
        "Machine Learning and Knowledge Discovery in Databases", 2013, doi="10.1007/978-3-642-40994-3_29",
    ),
    "brier1950": _article(
        "Brier 1950", "Brier, Glenn W.", "Verification of forecasts expressed in terms of probability",
        "Monthly Weather Review", 1950, volume="78", number="1", pages="1--3",
        doi="10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
    ),
    "cortes1995": _article(
        "Cortes & Vapnik 1995", "Cortes, Corinna and Vapnik, Vladimir", "Support-vector networks", "Machine Learning",
        1995, volume="20", pages="273--297", doi="10.1007/BF00994018",
    ),
    "dalal2005": _in_book(
        "Dalal & Triggs 2005", "Dalal, Navneet and Triggs, Bill",
        "Histograms of oriented gradients for human detection",
        "IEEE Conference on Computer Vision and Pattern Recognition", 2005, doi="10.1109/CVPR.2005.177",
    ),
    "delmoral2006": _article(
        "Del Moral et al. 2006", "Del Moral, Pierre and Doucet, Arnaud and Jasra, Ajay",
        "Sequential Monte Carlo samplers", "Journal of the Royal Statistical Society: Series B", 2006, volume="68",
        number="3", pages="411--436", doi="10.1111/j.1467-9868.2006.00553.x",
    ),
    "delong1988": _article(
        "DeLong et al. 1988", "DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.",
        "Comparing the areas under two or more correlated receiver operating characteristic curves: a nonparametric "
        "approach",
        "Biometrics", 1988, volume="44", number="3", pages="837--845", doi="10.2307/2531595",
    ),
    "dukart2011": _article(
        "Dukart et al. 2011", "Dukart, Juergen and Schroeter, Matthias L. and Mueller, Karsten",
        "Age correction in dementia -- matching to a healthy brain", "PLoS ONE", 2011, volume="6", number="7",
        doi="10.1371/journal.pone.0022193",
    ),
    "erhan2009": Reference(
        "techreport", "Erhan et al. 2009",
        (
            ("author", "Erhan, Dumitru and Bengio, Yoshua and Courville, Aaron and Vincent, Pascal"),
            ("title", "Visualizing higher-layer features of a deep network"),
            ("institution", "Université de Montréal"), ("number", "1341"), ("year", "2009"),
        ),
    ),
    "fawcett2006": _article(
        "Fawcett 2006", "Fawcett, Tom", "An introduction to ROC analysis", "Pattern Recognition Letters", 2006,
        volume="27", number="8", pages="861--874", doi="10.1016/j.patrec.2005.10.010",
    ),
    "ferro2012": _article(
        "Ferro & Fricker 2012", "Ferro, Christopher A. T. and Fricker, Thomas E.",
        "A bias-corrected decomposition of the Brier score",
        "Quarterly Journal of the Royal Meteorological Society", 2012, volume="138", pages="1954--1960",
        doi="10.1002/qj.1924",
    ),
    "friedman2001": _article(
        "Friedman 2001", "Friedman, Jerome H.", "Greedy function approximation: a gradient boosting machine",
        "The Annals of Statistics", 2001, volume="29", number="5", pages="1189--1232", doi="10.1214/aos/1013203451",
    ),
    "geurts2006": _article(
        "Geurts et al. 2006", "Geurts, Pierre and Ernst, Damien and Wehenkel, Louis", "Extremely randomized trees",
        "Machine Learning", 2006, volume="63", pages="3--42", doi="10.1007/s10994-006-6226-1",
    ),
    "haralick1973": _article(
        "Haralick et al. 1973", "Haralick, Robert M. and Shanmugam, K. and Dinstein, Its'hak",
        "Textural features for image classification", "IEEE Transactions on Systems, Man, and Cybernetics", 1973,
        pages="610--621", doi="10.1109/TSMC.1973.4309314",
    ),
    "hastie2004": _article(
        "Hastie & Tibshirani 2004", "Hastie, Trevor and Tibshirani, Robert",
        "Efficient quadratic regularization for expression arrays", "Biostatistics", 2004, volume="5", number="3",
        pages="329--340", doi="10.1093/biostatistics/kxh010",
    ),
    "he2015": _in_book(
        "He et al. 2015", "He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
        "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification",
        "IEEE International Conference on Computer Vision", 2015, doi="10.1109/ICCV.2015.123",
    ),
    "hothorn2008": _article(
        "Hothorn et al. 2008", "Hothorn, Torsten and Bretz, Frank and Westfall, Peter",
        "Simultaneous inference in general parametric models", "Biometrical Journal", 2008, volume="50", number="3",
        pages="346--363", doi="10.1002/bimj.200810425",
    ),
    "hsu1984": _article(
        "Hsu 1984", "Hsu, Jason C.",
        "Constrained simultaneous confidence intervals for multiple comparisons with the best",
        "The Annals of Statistics", 1984, volume="12", number="3", pages="1136--1144", doi="10.1214/aos/1176346522",
    ),
    "jones1987": _article(
        "Jones & Palmer 1987", "Jones, Judson P. and Palmer, Larry A.",
        "An evaluation of the two-dimensional Gabor filter model of simple receptive fields in cat striate cortex",
        "Journal of Neurophysiology", 1987, volume="58", number="6", pages="1233--1258",
        doi="10.1152/jn.1987.58.6.1233",
    ),
    "loshchilov2019": _preprint(
        "Loshchilov & Hutter 2019", "Loshchilov, Ilya and Hutter, Frank", "Decoupled weight decay regularization",
        2019, "1711.05101",
    ),
    "luo2016": _preprint(
        "Luo et al. 2016", "Luo, Wenjie and Li, Yujia and Urtasun, Raquel and Zemel, Richard",
        "Understanding the effective receptive field in deep convolutional neural networks", 2016, "1701.04128",
    ),
    "mossman2001": _article(
        "Mossman & Berger 2001", "Mossman, Douglas and Berger, James O.",
        "Intervals for posttest probabilities: a comparison of 5 methods", "Medical Decision Making", 2001,
        volume="21", number="6", pages="498--507", doi="10.1177/0272989X0102100608",
    ),
    "newcombe2006": _article(
        "Newcombe 2006", "Newcombe, Robert G.",
        "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2: asymptotic "
        "methods and evaluation",
        "Statistics in Medicine", 2006, volume="25", number="4", pages="559--573", doi="10.1002/sim.2324",
    ),
    "ojala2002": _article(
        "Ojala et al. 2002", "Ojala, Timo and Pietikäinen, Matti and Mäenpää, Topi",
        "Multiresolution gray-scale and rotation invariant texture classification with local binary patterns",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence", 2002, volume="24", number="7",
        pages="971--987", doi="10.1109/TPAMI.2002.1017623",
    ),
    "paszke2019": _in_book(
        "Paszke et al. 2019", "Paszke, Adam and others",
        "PyTorch: an imperative style, high-performance deep learning library",
        "Advances in Neural Information Processing Systems", 2019, eprint="1912.01703", archiveprefix="arXiv",
    ),
    "pedregosa2011": _article(
        "Pedregosa et al. 2011", "Pedregosa, Fabian and others", "Scikit-learn: machine learning in Python",
        "Journal of Machine Learning Research", 2011, volume="12", pages="2825--2830",
        url="https://jmlr.org/papers/v12/pedregosa11a.html",
    ),
    "satterthwaite1946": _article(
        "Satterthwaite 1946", "Satterthwaite, Franklin E.",
        "An approximate distribution of estimates of variance components", "Biometrics Bulletin", 1946, volume="2",
        number="6", pages="110--114", doi="10.2307/3002019",
    ),
    "smith2018": _preprint(
        "Smith & Topin 2018", "Smith, Leslie N. and Topin, Nicholay",
        "Super-convergence: very fast training of neural networks using large learning rates", 2018, "1708.07120",
    ),
    "sun2014": _article(
        "Sun & Xu 2014", "Sun, Xu and Xu, Weichao",
        "Fast implementation of DeLong's algorithm for comparing the areas under correlated receiver operating "
        "characteristic curves",
        "IEEE Signal Processing Letters", 2014, volume="21", number="11", pages="1389--1393",
        doi="10.1109/LSP.2014.2337313",
    ),
    "tsamardinos2018": _article(
        "Tsamardinos et al. 2018", "Tsamardinos, Ioannis and Greasidou, Elissavet and Borboudakis, Giorgos",
        "Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation",
        "Machine Learning", 2018, volume="107", pages="1895--1922", doi="10.1007/s10994-018-5714-4",
    ),
    "vanderwalt2014": _article(
        "van der Walt et al. 2014", "van der Walt, Stéfan and others", "scikit-image: image processing in Python",
        "PeerJ", 2014, volume="2", pages="e453", doi="10.7717/peerj.453",
    ),
    "vickers2006": _article(
        "Vickers & Elkin 2006", "Vickers, Andrew J. and Elkin, Elena B.",
        "Decision curve analysis: a novel method for evaluating prediction models", "Medical Decision Making", 2006,
        volume="26", number="6", pages="565--574", doi="10.1177/0272989X06295361",
    ),
    "viering2023": _article(
        "Viering & Loog 2023", "Viering, Tom and Loog, Marco", "The shape of learning curves: a review",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence", 2023, volume="45", number="6",
        pages="7799--7819", doi="10.1109/TPAMI.2022.3220744",
    ),
    "wilson1927": _article(
        "Wilson 1927", "Wilson, Edwin B.", "Probable inference, the law of succession, and statistical inference",
        "Journal of the American Statistical Association", 1927, volume="22", number="158", pages="209--212",
        doi="10.1080/01621459.1927.10502953",
    ),
    "yang2023": _article(
        "Yang et al. 2023", "Yang, Jiancheng and others",
        "MedMNIST v2 -- a large-scale lightweight benchmark for 2D and 3D biomedical image classification",
        "Scientific Data", 2023, volume="10", doi="10.1038/s41597-022-01721-8",
    ),
}  # fmt: skip
"""By key. Authors are «and others» where a list is long."""


def to_bibtex(keys: Sequence[str]) -> str:
    """These works' entries, in the order of their keys."""
    entries = []
    for key in sorted(keys):
        reference = REFERENCES[key]
        lines = [f"  {name} = {{{value}}}," for name, value in reference.fields]
        entries.append("\n".join([f"@{reference.kind}{{{key},", *lines, "}"]))
    return "\n\n".join(entries)
