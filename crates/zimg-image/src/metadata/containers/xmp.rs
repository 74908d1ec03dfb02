//! XMP packets: the properties that have text. A packet is searched and not parsed as XML, so that
//! faults elsewhere in it do no harm.

use super::{FileTexts, LostText, TEXT_MAX, field};

/// Properties that are read, without their prefix, and their names here.
const PROPERTIES: [(&str, &str); 5] = [
    ("UserComment", field::USER_COMMENT),
    ("description", field::DESCRIPTION),
    ("ImageDescription", field::DESCRIPTION),
    ("CreatorTool", field::CREATOR_TOOL),
    ("parameters", field::XMP_PARAMETERS),
];

/// How many occurrences of a property's name are looked at.
const OCCURRENCES_MAX: usize = 16;

/// The texts of a packet.
pub(super) fn read(packet: &str, texts: &mut FileTexts) {
    if packet.len() > TEXT_MAX {
        return texts.lose(LostText::TooLong("xmp".to_owned()));
    }
    if !texts.admits(packet.len()) {
        return;
    }
    for (property, name) in PROPERTIES {
        if let Some(value) = element(packet, property).or_else(|| attribute(packet, property)) {
            let text = unescaped(value.trim());
            if !text.is_empty() {
                texts.add(name, &text);
            }
        }
    }
}

/// The content of the element `<prefix:property>`, or of the first item of a list in it.
fn element<'a>(packet: &'a str, property: &str) -> Option<&'a str> {
    let name = format!(":{property}");
    let mut from = 0;
    for _ in 0..OCCURRENCES_MAX {
        let at = from + packet.get(from..)?.find(&name)?;
        from = at + name.len();
        let (before, after) = (&packet[..at], &packet[from..]);
        let Some(open) = before.rfind('<') else { continue };
        let prefix = &before[open + 1..];
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }
        let Some((attributes, content)) = after.split_once('>') else { continue };
        if attributes.ends_with('/') || !attributes.is_empty() && !attributes.starts_with(' ') {
            continue;
        }
        let (content, _) = content.split_once(&format!("</{prefix}:{property}"))?;
        return Some(match content.split_once("<rdf:li") {
            Some((_, item)) => {
                let (_, item) = item.split_once('>')?;
                item.split_once("</rdf:li>").map_or(item, |(item, _)| item)
            }
            None => content,
        });
    }
    None
}

/// The value of the attribute `prefix:property="…"`.
fn attribute<'a>(packet: &'a str, property: &str) -> Option<&'a str> {
    ['"', '\''].into_iter().find_map(|quote| {
        let (_, after) = packet.split_once(&format!(":{property}={quote}"))?;
        Some(after.split_once(quote)?.0)
    })
}

/// Character references as characters, and the text of a CDATA section.
fn unescaped(text: &str) -> String {
    let raw = text.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>"));
    if let Some(raw) = raw {
        return raw.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain += before;
        let reference = after.split_once(';').and_then(|(name, after)| {
            let character = match name {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => {
                    let number = name.strip_prefix('#')?;
                    let hexadecimal = number.strip_prefix(['x', 'X']);
                    let code = match hexadecimal {
                        Some(digits) => u32::from_str_radix(digits, 16),
                        None => number.parse(),
                    };
                    code.ok().and_then(char::from_u32)
                }
            };
            Some((character?, after))
        });
        match reference {
            Some((character, after)) => {
                plain.push(character);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(packet: &str, name: &str) -> Option<String> {
        let mut texts = FileTexts::default();
        read(packet, &mut texts);
        texts.get(name).map(str::to_owned)
    }

    #[test]
    fn properties_are_elements_lists_or_attributes() {
        let list = "<x:xmpmeta><rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/'>\
                    <exif:UserComment>\n<rdf:Alt><rdf:li xml:lang=\"x-default\">a &lt;b&gt;&#xA;c &amp; \
                    d&unknown;</rdf:li></rdf:Alt></exif:UserComment></rdf:Description>";
        assert_eq!(value(list, field::USER_COMMENT).as_deref(), Some("a <b>\nc & d&unknown;"));
        let element = "<sdcpp:parameters>a fox&#10;Steps: 8</sdcpp:parameters>";
        assert_eq!(value(element, field::XMP_PARAMETERS).as_deref(), Some("a fox\nSteps: 8"));
        let attribute = "<rdf:Description xmp:CreatorTool='Draw Things' dc:format=\"x\"/>";
        assert_eq!(value(attribute, field::CREATOR_TOOL).as_deref(), Some("Draw Things"));
        for damaged in ["", "<a:parameters>x", ":parameters", "<a:parameters/>", "<:parameters>x</"]
        {
            assert_eq!(value(damaged, field::XMP_PARAMETERS), None, "{damaged}");
        }
    }
}
