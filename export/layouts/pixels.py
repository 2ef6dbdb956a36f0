"""What the towers are fed: the processor's normalisation and, in the original layout, the towers' own."""

from __future__ import annotations

from edge_runtime.errors import EdgeVLError
from edge_runtime.spec import Channels, PixelSpec, PreprocessSpec, Rgb, SamSpec, SiglipSpec
from export.checkpoint import Checkpoint
from export.layouts.layout import refusing_bad_values
from export.section import Section

# The published models' values, which are not the defaults of transformers' processor classes.
HALF: Channels = (0.5, 0.5, 0.5)
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
MIN_SIDE = 14
BICUBIC, BILINEAR = 3, 2  # Pillow's numbers, which the files hold

Normalisation = tuple[Channels, Channels]  # mean and std, of values in [0, 1]
LEAVE: Normalisation = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LOW: Normalisation = (HALF, HALF)
HIGH: Normalisation = (CLIP_MEAN, CLIP_STD)


def processor_from_checkpoint(checkpoint: Checkpoint) -> Section:
    """The image processor's file; transformers 5 may keep it inside the processor's."""
    section = checkpoint.document("preprocessor_config.json")
    return (
        section if section.values else checkpoint.document("processor_config.json").section("image_processor")
    )


def preprocess_from_original(
    checkpoint: Checkpoint, low: SiglipSpec, high: SamSpec | None, params: Section
) -> PreprocessSpec:
    """`params` are the vision tower's; one that has `pixel_mean` normalises what the processor gave it."""
    processor = processor_from_checkpoint(checkpoint)
    check_rule(processor, "image_size", low.image_size if high is None else high.image_size)
    processor.choice("resample", (BICUBIC,), BICUBIC)
    if high is None:
        first = from_processor(processor, LOW, not params.has("pixel_mean"))
        low_pixels = composed(first, from_tower(params, LEAVE))
        return preprocess(processor, low, low_pixels, None, None, LOW)
    low_params, high_params = params.section("low_res_cfg"), params.section("high_res_cfg")
    # The published processor leaves normalising to the towers; if this one does it, bare towers add nothing.
    first = from_processor(processor, HIGH, False)
    is_left = first == LEAVE
    low_pixels = composed(first, from_tower(low_params, LOW if is_left else LEAVE))
    high_pixels = composed(first, from_tower(high_params, HIGH if is_left else LEAVE))
    return preprocess(processor, low, low_pixels, high, high_pixels, from_tower(high_params, HIGH))


def preprocess_from_transformers(
    checkpoint: Checkpoint, low: SiglipSpec, high: SamSpec | None
) -> PreprocessSpec:
    processor = processor_from_checkpoint(checkpoint)
    check_rule(processor, "size", low.image_size)
    low_pixels = from_processor(processor, LOW, True)
    if high is None:
        processor.choice("resample", (BICUBIC,), BICUBIC)
        return preprocess(processor, low, low_pixels, None, None, LOW)
    # The low picture is made bilinearly, as the original does; the class default, bicubic, is a known slip.
    processor.choice("resample", (BILINEAR, BICUBIC), BILINEAR)
    high_keys = {
        key.removeprefix("high_res_"): value
        for key, value in processor.values.items()
        if key.startswith("high_res_") or key == "do_normalize"
    }
    high_processor = Section(
        f"{processor.where} (high_res_*)", high_keys | {"min_size": processor.values.get("min_size")}
    )
    check_rule(high_processor, "size", high.image_size)
    high_processor.choice("resample", (BICUBIC,), BICUBIC)
    return preprocess(high_processor, low, low_pixels, high, from_processor(high_processor, HIGH, True), HIGH)


def preprocess(
    processor: Section,
    low: SiglipSpec,
    low_pixels: Normalisation,
    high: SamSpec | None,
    high_pixels: Normalisation | None,
    published: Normalisation,
) -> PreprocessSpec:
    canvas = low.image_size if high is None else high.image_size
    with refusing_bad_values():
        return PreprocessSpec(
            low=PixelSpec(low.image_size, *low_pixels),
            high=None if high is None or high_pixels is None else PixelSpec(high.image_size, *high_pixels),
            background=background_from_section(processor, published[0]),
            min_side=processor.integer("min_size", min(MIN_SIDE, canvas), highest=canvas),
        )


def check_rule(processor: Section, size_key: str, side: int) -> None:
    """Everything the processor's file says must be what edge-vl's fixed rule does."""
    for step in ("do_resize", "do_rescale", "do_pad"):
        processor.choice(step, (True,), True)
    if abs(processor.number("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        processor.refuse("rescale_factor", "1/255")
    if processor.side(size_key, side) != side:
        why = f"{processor.where} makes pictures of {processor.side(size_key, side)}, the tower takes {side}"
        fix = "use the preprocessor_config.json that was published with these weights"
        raise EdgeVLError("EVL-CHECKPOINT-CONFIG", "the processor does not fit the vision tower", why, fix)


def from_processor(processor: Section, published: Normalisation, normalises: bool) -> Normalisation:
    if not processor.flag("do_normalize", normalises):
        return LEAVE
    return processor.channels("image_mean", published[0]), stds(processor, "image_std", published[1])


def from_tower(params: Section, published: Normalisation) -> Normalisation:
    return params.channels("pixel_mean", published[0]), stds(params, "pixel_std", published[1])


def stds(section: Section, key: str, published: Channels) -> Channels:
    values = section.channels(key, published)
    if min(values) <= 0:
        section.refuse(key, "positive numbers")
    return values


def composed(first: Normalisation, then: Normalisation) -> Normalisation:
    """((x - m1) / s1 - m2) / s2 as one step. The resize between them is linear and keeps constants."""
    (mean_1, std_1), (mean_2, std_2) = first, then
    means = [m1 + s1 * m2 for m1, s1, m2 in zip(mean_1, std_1, mean_2, strict=True)]
    spreads = [s1 * s2 for s1, s2 in zip(std_1, std_2, strict=True)]
    return (means[0], means[1], means[2]), (spreads[0], spreads[1], spreads[2])


def background_from_section(processor: Section, published_mean: Channels) -> Rgb:
    """The colour beside the picture: stated, or the mean colour truncated to bytes."""
    if processor.has("background_color"):
        stated = processor.integers("background_color", ())
        if len(stated) != 3:
            processor.refuse("background_color", "three whole numbers")
        return stated[0], stated[1], stated[2]
    red, green, blue = (int(value * 255) for value in processor.channels("image_mean", published_mean))
    return red, green, blue
