//! Check of a request's images against each other and against its parameters.

use super::{Generate, ImageInput, ImageRole};
use crate::error::Failure;

impl Generate {
    /// The request's image of this role, if it has one.
    pub fn image(&self, role: ImageRole) -> Option<&ImageInput> {
        self.images.iter().find(|image| image.role == role)
    }

    /// Checks the request's images against each other and against the parameters: at most one of
    /// each role, each in the layout and the size that its role has, a mask only with an initial
    /// image, and so `strength`.
    ///
    /// # Errors
    ///
    /// `Kind::Refused`.
    pub fn check_images(&self) -> Result<(), Failure> {
        for image in &self.images {
            image.bytes()?;
            let (role, wanted) = (image.role.name(), image.role.layout());
            let of_role = self.images.iter().filter(|other| other.role == image.role).count();
            if of_role > 1 {
                return Err(Failure::refused(format!(
                    "the request has {of_role} images with the role {role}, expected at most one"
                )));
            }
            if image.layout != wanted {
                return Err(Failure::refused(format!(
                    "the {role} has {}, expected {}",
                    image.layout.name(),
                    wanted.name()
                )));
            }
        }
        if !self.images.is_empty() {
            self.params.check_with_images()?;
        }
        self.check_control()?;
        let mask = self.image(ImageRole::Mask);
        let Some(initial) = self.image(ImageRole::Initial) else {
            return match mask {
                None => Ok(self.params.check_without_images()?),
                Some(_) => Err(Failure::refused(
                    "the request has a mask and no initial image, expected both",
                )
                .hint("send the image that the mask is for")),
            };
        };
        let ImageInput { width, height, .. } = *initial;
        if let Some(mask) = mask.filter(|mask| (mask.width, mask.height) != (width, height)) {
            return Err(Failure::refused(format!(
                "the mask is {}x{} and the initial image {width}x{height}, expected the same size",
                mask.width, mask.height
            )));
        }
        for (name, asked, has) in
            [("width", self.params.width, width), ("height", self.params.height, height)]
        {
            if let Some(asked) = asked.filter(|asked| *asked != has) {
                return Err(Failure::refused(format!(
                    "`{name}` is {asked} and the initial image is {width}x{height}, expected {has}"
                ))
                .hint(format!("leave `{name}` out, or send the image in the size to generate")));
            }
        }
        Ok(())
    }

    /// Checks the control image against the parameters and the initial image.
    fn check_control(&self) -> Result<(), Failure> {
        let Some(&ImageInput { width, height, .. }) = self.image(ImageRole::Control) else {
            return Ok(());
        };
        let initial = self.image(ImageRole::Initial).map(|image| (image.width, image.height));
        let asked = self.params.width.zip(self.params.height);
        match initial.or(asked).filter(|size| *size != (width, height)) {
            Some((wanted, high)) => Err(Failure::refused(format!(
                "the control image is {width}x{height} and the image to generate {wanted}x{high}, \
                 expected the same size"
            ))
            .hint("send the control image in the size to generate")),
            None => Ok(()),
        }
    }

    /// Gives the parameters the size of the initial image, or of the control image, if there is one.
    pub fn take_size(&mut self) {
        let image = self.image(ImageRole::Initial).or_else(|| self.image(ImageRole::Control));
        if let Some(&ImageInput { width, height, .. }) = image {
            (self.params.width, self.params.height) = (Some(width), Some(height));
        }
    }
}

#[cfg(test)]
mod tests {
    use zimage_params::Params;

    use super::super::{ImageSource, PixelLayout};
    use super::*;

    fn image(role: ImageRole, width: u32, height: u32) -> ImageInput {
        ImageInput { role, layout: role.layout(), width, height, source: ImageSource::Inline }
    }

    fn request(images: &[ImageInput]) -> Generate {
        Generate { images: images.to_vec(), ..Generate::new(Params::new("a fox")) }
    }

    #[test]
    fn an_initial_image_gives_the_size_and_a_mask_has_it() {
        let initial = image(ImageRole::Initial, 64, 80);
        let mask = image(ImageRole::Mask, 64, 80);
        for images in [&[][..], &[initial], &[initial, mask], &[mask, initial]] {
            let mut request = request(images);
            request.check_images().unwrap();
            request.take_size();
            let size = request.params.width.zip(request.params.height);
            assert_eq!(size, (!images.is_empty()).then_some((64, 80)));
            request.check_images().unwrap();
        }
        // For which models, their capabilities say.
        request(&[image(ImageRole::Control, 64, 64)]).check_images().unwrap();
        let mut strong = request(&[initial]);
        strong.params.strength = Some(0.5);
        strong.check_images().unwrap();
    }

    #[test]
    fn images_that_do_not_go_together_are_refused_in_a_sentence() {
        let initial = image(ImageRole::Initial, 64, 80);
        let mask = image(ImageRole::Mask, 64, 80);
        let sized = |width, height| {
            let params = Params { width, height, ..Params::new("a fox") };
            Generate { params, ..request(&[initial]) }
        };
        for (request, said) in [
            (request(&[mask]), "a mask and no initial image"),
            (request(&[mask, image(ImageRole::Control, 64, 80)]), "a mask and no initial image"),
            (request(&[initial, initial]), "2 images with the role initial image"),
            (request(&[initial, mask, mask]), "2 images with the role mask"),
            (
                request(&[ImageInput { layout: PixelLayout::L8, ..initial }]),
                "the initial image has one byte a pixel (grey), expected three bytes a pixel (RGB)",
            ),
            (
                request(&[initial, ImageInput { layout: PixelLayout::Rgb8, ..mask }]),
                "the mask has three bytes a pixel (RGB), expected one byte",
            ),
            (
                request(&[initial, image(ImageRole::Mask, 80, 64)]),
                "the mask is 80x64 and the initial image 64x80",
            ),
            (request(&[image(ImageRole::Initial, 65, 64)]), "the initial image is 65x64"),
            (request(&[image(ImageRole::Initial, 0, u32::MAX)]), "the initial image is 0x"),
            (
                Params { strength: Some(0.5), ..Params::new("a fox") }.into(),
                "`strength` is 0.5 and there is no initial image",
            ),
            (sized(Some(128), None), "`width` is 128 and the initial image is 64x80, expected 64"),
            (sized(None, Some(64)), "`height` is 64 and the initial image is 64x80, expected 80"),
        ] {
            let failure = request.check_images().unwrap_err();
            assert!(failure.message.contains(said), "{failure} does not contain {said}");
        }
    }
}
