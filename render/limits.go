package render

// Limits of what a decoder takes. They bound memory and time of a request, not
// what a model allows.
const (
	maxBody       = 8 << 20 // bytes
	maxYAML       = 1 << 20 // bytes of YAML, whose parser takes a hundred times as much
	maxDepth      = 32      // nested JSON arrays and objects
	maxNodes      = 1 << 18 // JSON values in one body
	maxAttributes = 1024    // of one entity or link
	maxMixins     = 128     // of one entity or link
	maxLinks      = 1024    // of one entity
	maxMembers    = 4096    // entities or definitions in one body
	maxLocations  = 65536   // URIs in one body
)
