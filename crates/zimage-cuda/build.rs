//! Compiles the C++ that Rust cannot say, and lets programs find the libtorch they were linked with.

fn main() {
    println!("cargo:rerun-if-changed=src/shim.cpp");
    cc::Build::new().cpp(true).std("c++17").warnings(true).file("src/shim.cpp").compile("zimgshim");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
