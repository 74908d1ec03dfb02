//! Partial images of a stream: after which steps a preview is sent.

/// Spreads a number of previews over the steps of an image, and says once for each when it is due.
/// A job that goes on from an earlier step sends none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartialImages {
    count: u32,
    image: u32,
    sent: u32,
}

impl PartialImages {
    /// So many previews of each image.
    pub(crate) fn new(count: u32) -> Self {
        Self { count, image: 0, sent: 0 }
    }

    /// The index of the preview after `step` of `steps` of an image, if it is to be sent.
    pub(crate) fn due(&mut self, image: u32, step: u32, steps: u32) -> Option<u32> {
        if image != self.image {
            (self.image, self.sent) = (image, 0);
        }
        // The last step's preview would come with the image itself.
        if self.sent >= self.count || step >= steps {
            return None;
        }
        let at = u64::from(steps) * u64::from(self.sent + 1) / u64::from(self.count + 1);
        if u64::from(step) < at.max(1) {
            return None;
        }
        self.sent += 1;
        Some(self.sent - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_sent(count: u32, steps: u32) -> Vec<u32> {
        let mut partial = PartialImages::new(count);
        (1..=steps).filter(|&step| partial.due(0, step, steps).is_some()).collect()
    }

    #[test]
    fn previews_are_spread_over_the_steps() {
        assert_eq!(steps_sent(3, 8), [2, 4, 6]);
        assert_eq!(steps_sent(1, 8), [4]);
        assert_eq!(steps_sent(0, 8), [0_u32; 0]);
        assert_eq!(steps_sent(3, 4), [1, 2, 3]);
        assert_eq!(steps_sent(3, 2), [1]);
        assert_eq!(steps_sent(3, 1), [0_u32; 0]);
        assert_eq!(steps_sent(2, 100), [33, 66]);
    }

    #[test]
    fn each_image_has_its_own_and_no_step_is_sent_twice() {
        let mut partial = PartialImages::new(1);
        assert_eq!(partial.due(0, 2, 4), Some(0));
        assert_eq!(partial.due(0, 2, 4), None);
        assert_eq!(partial.due(0, 3, 4), None);
        assert_eq!(partial.due(1, 3, 4), Some(0));
    }
}
