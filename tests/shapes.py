"""How signatures are checked while testing: arrays by shape and kind; a whole number is a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
