//! What reflection serves.
#![allow(clippy::unwrap_used)]

use prost::Message as _;

#[test]
fn the_descriptor_set_holds_every_service_and_all_imports() {
    let set = prost_types::FileDescriptorSet::decode(ossai_proto::FILE_DESCRIPTOR_SET).unwrap();
    let names: Vec<_> = set.file.iter().map(|file| file.name()).collect();
    for file in &set.file {
        for import in &file.dependency {
            assert!(names.contains(&import.as_str()), "{import}");
        }
    }
    let services = set.file.iter().flat_map(|file| &file.service);
    let mut services: Vec<_> = services.map(|service| service.name()).collect();
    services.sort_unstable();
    assert_eq!(
        services,
        [
            "CacheService",
            "CompletionService",
            "CostService",
            "EmbeddingService",
            "ModelService",
            "TokenService",
            "UsageService"
        ]
    );
}
