"""PyTorch on the CPU as one contender of bench:train, in a process that answers as bench/peers/child.ts does."""
import json
import os
import sys
import time

start = time.perf_counter()
answers = os.fdopen(3, "w", buffering=1)


def tell(answer):
    answers.write(json.dumps(answer) + "\n")


def read(path):
    """The tensors of a .safetensors file in float32, by their names."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    return {
        name: torch.frombuffer(data, dtype=torch.float32)[
            entry["data_offsets"][0] // 4 : entry["data_offsets"][1] // 4
        ].reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def lenet5(classes):
    net = nn.Sequential()
    for name, layer in [
        ("conv1", nn.Conv2d(1, 6, 5)),
        ("tanh1", nn.Tanh()),
        ("pool1", nn.AvgPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)),
        ("tanh2", nn.Tanh()),
        ("pool2", nn.AvgPool2d(2)),
        ("conv3", nn.Conv2d(16, 120, 5)),
        ("tanh3", nn.Tanh()),
        ("flatten", nn.Flatten()),
        ("linear1", nn.Linear(120, 84)),
        ("tanh4", nn.Tanh()),
        ("linear2", nn.Linear(84, classes)),
    ]:
        net.add_module(name, layer)
    return net


def resnet18(classes):
    """torchvision's, which needs not be installed."""

    class Block(nn.Module):
        def __init__(self, channels, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = (
                nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
                if stride > 1 or channels != width
                else nn.Identity()
            )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))

    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, 64, 7, 2, 3, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(64))
    net.add_module("relu", nn.ReLU(inplace=True))
    net.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    channels = 64
    for i, width in enumerate([64, 128, 256, 512]):
        blocks = [Block(channels, width, 1 if i == 0 else 2), Block(width, width, 1)]
        net.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        channels = width
    net.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(512, classes))
    return net


def rest():
    time.sleep(0.05)


try:
    import torch
    from torch import nn

    job = json.loads(sys.argv[1])
    training = job["training"]
    given = training["optimizer"]
    net = {"lenet5": lenet5, "resnet18": resnet18}[job["net"]](training["options"]["numClasses"])
    # PyTorch's files have the number of batches that a batch norm saw; it is nothing that is computed with.
    missing, unexpected = net.load_state_dict(read(job["weights"]), strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise ValueError(f"the weights do not fit: {', '.join(wrong)}")
    net.train()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=given["lr"], momentum=given["momentum"], weight_decay=given["weightDecay"]
    )
    batch = read(job["batch"])
    x, labels = batch["x"], batch["labels"].long()

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step()]
    cold = 1000 * (time.perf_counter() - start)
    losses += [step() for _ in range(training["steps"] - 1)]
    rest()
    tell({"coldMs": cold, "outputs": losses})
    # Turns are those of bench/peers/measure.ts.
    while sys.stdin.buffer.read(1):
        step()
        times = []
        began = end = time.perf_counter()
        while end - began < 0.3:
            begin = time.perf_counter()
            step()
            end = time.perf_counter()
            times.append(1000 * (end - begin))
        rest()
        tell({"times": times})
except Exception as error:
    tell({"error": f"{type(error).__name__}: {error}"})
    sys.exit(1)
