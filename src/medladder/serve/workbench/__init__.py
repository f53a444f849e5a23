"""The workbench: pages that the server draws, a module each, every page whole without a script."""

from fastapi import APIRouter

from . import assets, auditing, budget, evidence, layers, starting, studies, trying

router = APIRouter()
for _page in (assets, studies, evidence, layers, trying, budget, auditing, starting):
    router.include_router(_page.router)
