//! Control images: edges are those of OpenCV 5.0.0, whose `Canny(image, 100, 200)` made the files beside the
//! images of `tests/fixtures/control`.

use std::path::Path;

use zimg_image::ControlKind;

#[test]
fn edges_are_opencvs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/control");
    for name in ["disc", "lines", "noise", "thin"] {
        let open = |file: String| image::open(folder.join(file)).unwrap();
        let image = open(format!("{name}.png")).to_rgb8();
        let (width, height) = image.dimensions();
        let found = ControlKind::Canny.apply(image.into_raw(), width, height);
        let expected = open(format!("{name}-canny.png")).to_rgb8().into_raw();
        assert!(found == expected, "{name}");
        assert!(found.contains(&255) && found.contains(&0), "{name}");
    }
}
