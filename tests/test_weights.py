"""Where the weights of a backbone come from: a local file, torchvision's folder or its server, never unsafely."""

import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from networks import build
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18

from fer.errors import FerError
from fer.layers.weights import load_backbone, read_weights


@pytest.fixture(scope="module")
def published():
    """The state of a torchvision ResNet-18, classifier included; as old as torchvision's, which count no batches."""
    torch.manual_seed(1)
    state = resnet18().state_dict()
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """torchvision's own folder, empty, and no network."""

    def fail(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def holds(network, published):
    return all(torch.equal(value, published[name]) for name, value in network.named_parameters())


def backbone():
    network = resnet18()
    network.fc = nn.Identity()
    return network


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
def test_a_backbone_starts_from_a_local_file(suffix, published, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    save_file(published, path) if suffix == "safetensors" else torch.save(published, path)
    network = build("resnet18_attention", weights=str(path), modality="fused")
    assert all(holds(branch.backbone, published) for branch in network.branches.values())


def test_random_weights_differ_from_seed_to_seed_and_need_no_file(cache):
    first = build("resnet18_attention").branches["visible"].backbone.conv1.weight
    assert torch.equal(first, build("resnet18_attention").branches["visible"].backbone.conv1.weight)
    assert not torch.equal(first, backbone().conv1.weight)


@pytest.mark.parametrize(
    ("name", "file"),
    [("resnet18_attention", "resnet18-f37072fd.pth"), ("local_global_resnet50", "resnet50-0676ba61.pth")],
)
def test_weights_that_cannot_be_downloaded_are_named_with_what_to_do(name, file, cache):
    with pytest.raises(
        FerError, match=f"{file}.*no route to host.*Give the path of the file as `weights`, or.*`weights: random`"
    ):
        build(name, weights="imagenet")


def test_weights_in_torchvision_s_folder_are_used_without_a_download(published, cache):
    torch.save(published, cache / "resnet18-f37072fd.pth")
    assert holds(build("resnet18_attention", weights="imagenet").branches["visible"].backbone, published)


def test_a_damaged_file_in_torchvision_s_folder_is_named(cache):
    (cache / "resnet18-f37072fd.pth").write_bytes(b"half a downl")
    with pytest.raises(FerError, match="resnet18-f37072fd.pth is available neither from .*KeyError"):
        build("resnet18_attention", weights="imagenet")


def test_a_missing_file_is_named_with_the_other_choices(tmp_path):
    with pytest.raises(FerError, match="'imagnet' is neither random, nor imagenet, nor an existing file"):
        build("resnet18_attention", weights="imagnet")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "weights.onnx"
    path.write_bytes(b"")
    with pytest.raises(FerError, match=r"weights\.onnx: expected a file that ends in \.safetensors, \.pth or \.pt"):
        read_weights(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_named(suffix, tmp_path):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(b"half a file")
    with pytest.raises(FerError, match=rf"weights\.{suffix} cannot be read"):
        read_weights(path)


class Harmful:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_a_file_that_would_run_code_is_refused_and_does_not(save, tmp_path):
    path, target = tmp_path / "weights.pth", tmp_path / "executed"
    save({"conv1.weight": Harmful(target)}, path)
    with pytest.raises(FerError, match="cannot be read as a file of tensors only"):
        read_weights(path)
    assert not target.exists()


def test_a_file_without_names_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(FerError, match="does not hold tensors by name .*, but a list"):
        read_weights(path)


def test_weights_of_another_network_are_refused(published, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({name: value for name, value in published.items() if not name.startswith("layer4")}, path)
    with pytest.raises(FerError, match=r"weights\.pth does not hold the weights of this backbone: .*layer4"):
        load_backbone(backbone(), str(path), ResNet18_Weights.IMAGENET1K_V1)
    torch.save(published | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, path)
    with pytest.raises(FerError, match=r"size mismatch for conv1\.weight"):
        load_backbone(backbone(), str(path), ResNet18_Weights.IMAGENET1K_V1)
