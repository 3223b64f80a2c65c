package payload

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fx-risk-ai/annals/schema"
)

// protobufCodec decodes messages of one file.
type protobufCodec struct{ file protoreflect.FileDescriptor }

// mainFile is the name of the schema itself, which registries do not name.
const mainFile = "annals.main.proto"

// maxMessageDepth bounds how deep a message may nest; Protobuf's own default is
// 10,000.
const maxMessageDepth = 100

func compileProtobuf(s Source) (Codec, error) {
	files := map[string]string{mainFile: s.Text}
	for _, ref := range s.References {
		files[ref.Name] = ref.Text
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			Accessor: protocompile.SourceAccessorFromMap(files),
		}),
		MaxParallelism: 1,
	}
	linked, err := compiler.Compile(context.Background(), mainFile)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "read Protobuf schema: %w", err)
	}
	return protobufCodec{linked[0]}, nil
}

func (c protobufCodec) JSON(indexes, body []byte) ([]byte, error) {
	text, err := c.json(indexes, body)
	if err != nil {
		return nil, schema.Errorf(schema.Invalid, "decode Protobuf: %w", err)
	}
	return text, nil
}

func (c protobufCodec) Describe(indexes, body []byte) (kind, name string) {
	descriptor, _, err := c.split(indexes, body)
	if err != nil {
		return Protobuf, ""
	}
	return Protobuf, string(descriptor.FullName())
}

// split gives a payload's type and the bytes of its message.
func (c protobufCodec) split(indexes, body []byte) (protoreflect.MessageDescriptor, []byte, error) {
	if indexes == nil {
		return c.message(body)
	}
	descriptor, _, err := c.message(indexes)
	return descriptor, body, err
}

func (c protobufCodec) json(indexes, body []byte) ([]byte, error) {
	descriptor, body, err := c.split(indexes, body)
	if err != nil {
		return nil, err
	}
	message := dynamicpb.NewMessage(descriptor)
	if err := (proto.UnmarshalOptions{RecursionLimit: maxMessageDepth}).Unmarshal(body, message); err != nil {
		return nil, err
	}
	// Names as the schema has them: those are what people write pointers by.
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
}

var errIndexes = errors.New("its message indexes lead to no message of the schema")

// message follows the indexes at the start of data: how many, then each, as
// zigzag varints; a single 0 stands for the first message.
func (c protobufCodec) message(data []byte) (protoreflect.MessageDescriptor, []byte, error) {
	count, size := binary.Varint(data)
	if size <= 0 || count < 0 || count > maxMessageDepth {
		return nil, nil, errIndexes
	}
	data = data[size:]
	messages := c.file.Messages()
	if count == 0 {
		if messages.Len() == 0 {
			return nil, nil, errIndexes
		}
		return messages.Get(0), data, nil
	}
	var found protoreflect.MessageDescriptor
	for range count {
		index, size := binary.Varint(data)
		if size <= 0 || index < 0 || index >= int64(messages.Len()) {
			return nil, nil, errIndexes
		}
		data = data[size:]
		found = messages.Get(int(index))
		messages = found.Messages()
	}
	return found, data, nil
}
