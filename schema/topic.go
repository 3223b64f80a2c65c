package schema

// What Kafka allows as the name of a topic; TopicNameRule says it in messages.
const (
	MaxTopicName  = 249 // bytes
	TopicNameRule = "up to 249 letters, digits, dots, underscores and hyphens"
)

// ReplayTopicPrefix is how the names of the topics begin that a replay makes where no other
// names are asked for, and of the sandbox where none is configured.
const ReplayTopicPrefix = "replay."

// IsTopicName tells the names that Kafka allows.
func IsTopicName[T string | []byte](name T) bool {
	return LikeTopicName(name) && string(name) != "." && string(name) != ".."
}

// LikeTopicName tells what is written as the names that Kafka allows are. Readers of
// headers take "." and ".." too, as their first versions did.
func LikeTopicName[T string | []byte](name T) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return 0 < len(name) && len(name) <= MaxTopicName
}
