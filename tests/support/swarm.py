"""What the engine of a Swarm writes on the containers of a stack's service."""

from __future__ import annotations

LABELS = {
    "com.docker.stack.namespace": "shop",
    "com.docker.swarm.node.id": "w3mcvtptgffd6kdwwj2dhrrgv",
    "com.docker.swarm.service.id": "nlgkrd1w6e0yjzvvbwg5vqgou",
    "com.docker.swarm.service.name": "shop_web",
    "com.docker.swarm.task": "",
    "com.docker.swarm.task.id": "zf5ucsmb6f5bgqkh4hcyo5ihf",
    "com.docker.swarm.task.name": "shop_web.1.zf5ucsmb6f5bgqkh4hcyo5ihf",
}

SHOWN = {
    "swarm_stack": "shop",
    "swarm_service": "shop_web",
    "swarm_task": "shop_web.1.zf5ucsmb6f5bgqkh4hcyo5ihf",
}
"""What a record says of them."""
