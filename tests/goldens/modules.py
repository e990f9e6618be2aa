"""Writes modules.json: the output of every module of torchvision's nets, and of timm's two, by its dotted name, as "CxHxW".

Left out are modules that only pass their input on, and those that one forward pass calls several times.

    pip install torch==2.13.0 torchvision==0.28.0 timm==1.0.29 && python modules.py
"""

import json
import pathlib

import timm
import torch
import torchvision

NETS = """alexnet vgg11_bn resnet18 resnet50 squeezenet1_1 densenet121 googlenet inception_v3 mobilenet_v2
mobilenet_v3_small shufflenet_v2_x0_5 mnasnet0_5 regnet_x_400mf regnet_y_400mf efficientnet_b0 efficientnet_v2_s""".split()
TIMM = ["mobilenetv3_large_100", "mobilenetv3_small_100"]
SIZES = {"inception_v3": 299, "efficientnet_v2_s": 384}


def modules(net, size):
    shapes = {}

    def hook(name):
        def record(_module, _inputs, output):
            shapes.setdefault(name, []).append("x".join(map(str, output.shape[1:])))

        return record

    for name, module in net.named_modules():
        if name and not isinstance(module, torch.nn.Identity):
            module.register_forward_hook(hook(name))
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, size, size))
    return {name: calls[0] for name, calls in shapes.items() if len(calls) == 1}


nets = {name: torchvision.models.get_model(name, weights=None) for name in NETS}
nets |= {name: timm.create_model(name) for name in TIMM}
lines = [f'"{name}":{json.dumps(modules(net, SIZES.get(name, 224)), separators=(",", ":"))}' for name, net in nets.items()]
pathlib.Path(__file__).with_name("modules.json").write_text("{" + ",\n".join(lines) + "}\n")
