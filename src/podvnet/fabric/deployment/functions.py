"""All functions of the template language, by name in lower case.

Source: Azure document "ARM template functions".
"""

from __future__ import annotations

from podvnet.fabric.deployment.argument import merged
from podvnet.fabric.deployment.array_functions import ARRAY_FUNCTIONS
from podvnet.fabric.deployment.cidr_functions import CIDR_FUNCTIONS
from podvnet.fabric.deployment.deployment_functions import DEPLOYMENT_FUNCTIONS
from podvnet.fabric.deployment.lambda_functions import LAMBDA_FUNCTIONS
from podvnet.fabric.deployment.logic_functions import LOGIC_FUNCTIONS
from podvnet.fabric.deployment.resource_functions import RESOURCE_FUNCTIONS
from podvnet.fabric.deployment.string_functions import STRING_FUNCTIONS

FUNCTIONS = merged(
    (
        STRING_FUNCTIONS,
        ARRAY_FUNCTIONS,
        LOGIC_FUNCTIONS,
        CIDR_FUNCTIONS,
        LAMBDA_FUNCTIONS,
        RESOURCE_FUNCTIONS,
        DEPLOYMENT_FUNCTIONS,
    )
)
