//! What zimg-web reads of its clients.

/// Bytes of a request: bodies, hosts, ids, keys.
pub fn http(bytes: &[u8]) -> bool {
    zimg_web::fuzzing::request(bytes)
}
