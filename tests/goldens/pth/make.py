"""Makes the .pth fixtures beside it and expected.json, what a reader must find in them.

    python3 make.py            (made with torch 2.13)

expected.json: {"files": {file: set}, "sets": {set: {tensor: {"dtype", "shape", "values"}}}}, values row-major as
float32, with "nan", "inf" and "-inf" as strings. module.pth is not in it: it pickles a whole module, and a reader of
tensors must refuse it by its name. beside.pth has what torch.load(weights_only=True) allows beside and around tensors,
several.pth two mappings that fit one net.
"""

import collections
import json
import math
import pathlib
import zipfile

import torch

HERE = pathlib.Path(__file__).parent
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def net():
    torch.manual_seed(7)
    conv, norm, linear = torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(12, 4)
    return torch.nn.Sequential(conv, norm, torch.nn.Flatten(), linear)


def state():
    """A real state_dict (batchnorm's integer count and _metadata included), and an entry for every kind of tensor."""
    entries = net().state_dict()
    specials = [0.0, -0.0, 1.0, -2.5, 1 / 3, 6e-8, 6.1e-5, 65504.0, math.inf, -math.inf, math.nan]
    base = torch.arange(60, dtype=torch.float32).reshape(5, 12) / 8 - 3
    entries["types.f64"] = torch.tensor([math.pi, -1e300, 1e-300, 16777217.0], dtype=torch.float64)
    entries["types.f32"] = torch.tensor(specials + [1e-45, 3.4e38])
    entries["types.f16"] = torch.tensor(specials, dtype=torch.float16)
    entries["types.bf16"] = torch.tensor(specials + [1e-40, 3e38], dtype=torch.bfloat16)
    entries["types.i64"] = torch.tensor([0, -1, 2**40, -(2**40) - 1, 2**63 - 1])
    entries["types.i32"] = torch.tensor([0, -1, 2**31 - 1, -(2**31)], dtype=torch.int32)
    entries["types.i16"] = torch.tensor([0, -1, 2**15 - 1, -(2**15)], dtype=torch.int16)
    entries["types.i8"] = torch.tensor([0, -1, 127, -128], dtype=torch.int8)
    entries["types.u8"] = torch.tensor([0, 1, 127, 255], dtype=torch.uint8)
    entries["types.bool"] = torch.tensor([[True, False], [False, True]])
    entries["views.whole"] = base
    entries["views.transposed"] = base.T
    entries["views.slice"] = base[1:4, 2:9:3]
    entries["views.row"] = base[3]
    entries["views.expanded"] = base[2, :4].expand(3, 4)
    entries["views.channels_last"] = torch.arange(120).float().reshape(2, 3, 4, 5).to(memory_format=torch.channels_last)
    entries["views.half"] = base.half().T[2:5]
    entries["scalar"] = torch.tensor(2.75)
    entries["empty"] = torch.zeros(3, 0, 2)
    entries["parameter"] = torch.nn.Parameter(torch.tensor([[1.5, -0.25], [4.0, 8.0]]))
    entries["__proto__"] = torch.tensor([1.0])
    entries["a name with ünïcode 🙂 and \"quotes\""] = torch.tensor([2.0])
    return entries


def described(entries):
    return {
        name: {
            "dtype": DTYPES[value.dtype],
            "shape": list(value.shape),
            "values": [x if math.isfinite(x) else str(x) for x in value.detach().float().flatten().tolist()],
        }
        for name, value in entries.items()
        if isinstance(value, torch.Tensor)
    }


def beside():
    """Tensors with attributes, with a negative that torch puts off, of other dtypes; and what is no tensor."""
    lazy = torch.view_as_complex(torch.tensor([[1.0, 2.0], [3.0, -4.0], [0.0, 5.0]]))
    attributed, parameter = torch.tensor([1.5, 2.5]), torch.nn.Parameter(torch.tensor([-3.5]))
    attributed.note, parameter.note = "a", "b"
    entries = collections.OrderedDict(
        negative=torch.conj(lazy).imag, negative64=torch.conj(lazy.to(torch.complex128)).imag,
        attributed=attributed, parameter=parameter,
    )  # fmt: skip
    entries.note = {"tags": {1, 2}}
    others = {
        "counter": collections.Counter("aab"), "size": torch.Size([1, 2]), "device": torch.device("cuda", 0),
        "dtypes": [torch.float32, torch.float8_e4m3fn], "set": {"a"}, "bytes": b"a\xff", "bytearray": bytearray(b"b"),
        "complex": 1j, "layout": torch.strided, "losses": [0.5] * 50,
    }  # fmt: skip
    return {"net": entries, **others}, entries


def main():
    entries = state()
    files = {}

    def save(name, saved, tensors, **options):
        torch.save(saved, HERE / name, **options)
        files[name] = tensors

    save("state.pth", entries, "all")
    save("legacy.pth", entries, "all", _use_new_zipfile_serialization=False)
    save("protocol4.pth", entries, "all", pickle_protocol=4)

    # The same archive as a zip tool would pack it again.
    with zipfile.ZipFile(HERE / "state.pth") as stored, zipfile.ZipFile(HERE / "deflated.pth", "w") as to:
        for entry in stored.infolist():
            to.writestr(zipfile.ZipInfo(entry.filename), stored.read(entry), zipfile.ZIP_DEFLATED, 9)
    files["deflated.pth"] = "all"

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    small = model.state_dict()
    outer = {"epoch": 3, "lr": 0.1, "best": None, "args": ["a", ("b", -1)], "optimizer": optimizer.state_dict()}
    for key in ("state_dict", "model_state_dict", "model"):
        save(f"wrapped_{key}.pth", {**outer, key: small}, "model")
    mixed = collections.OrderedDict(small, version=2, note="not a tensor", sizes=[1, 2], done=True, big=2**70)
    save("mixed.pth", mixed, "model")
    torch.save(model, HERE / "module.pth")

    saved, tensors = beside()
    save("beside.pth", saved, "beside")
    ema = torch.optim.swa_utils.AveragedModel(model)
    save("several.pth", {"model": small, "model_ema": ema.state_dict(), **outer}, "model")

    expected = {"files": files, "sets": {"all": described(entries), "model": described(small), "beside": described(tensors)}}
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n")


main()
