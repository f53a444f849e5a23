"""Models and studies over HTTP: a REST service for machines, and a workbench in the browser for people.

What arrives is untrusted: `guard` refuses who may not ask, `room` what does not fit, `uploads` holds files in memory,
`decoders` reads them in processes that may die, `predictor` answers in batches. Needs `pip install medladder[serve]`.
"""
