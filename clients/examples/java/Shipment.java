// Reads the orders of one shipment and writes the shipment, which says what
// caused it. Java runs it as it stands: java -cp 'jars/*' Shipment.java …
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.FileReader;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Shipment {
    /** What a record says of itself, and of the inputs that it was made of. */
    static void describe(Headers ours, String type, String version, String service, List<ConsumerRecord<String, String>> inputs) {
        ours.add("eventId", UUID.randomUUID().toString().getBytes(UTF_8));
        ours.add("eventType", type.getBytes(UTF_8));
        ours.add("eventVersion", version.getBytes(UTF_8));
        ours.add("sourceService", service.getBytes(UTF_8));
        ours.add("timestamp", Instant.now().toString().getBytes(UTF_8));
        for (var input : inputs) {
            var id = input.headers().lastHeader("eventId");
            var trace = input.headers().lastHeader("traceId");
            if (id != null) ours.add("causationId", id.value());
            if (trace != null && ours.lastHeader("traceId") == null) ours.add("traceId", trace.value());
            ours.add("x-src-topic", input.topic().getBytes(UTF_8));
            ours.add("x-src-partition", String.valueOf(input.partition()).getBytes(UTF_8));
            ours.add("x-src-offset", String.valueOf(input.offset()).getBytes(UTF_8));
        }
    }

    public static void main(String[] args) throws Exception {
        var settings = new Properties();
        try (var file = new FileReader(args[0])) {
            settings.load(file);
        }
        settings.put("group.id", "shipping-java");
        settings.put("auto.offset.reset", "earliest");
        var orders = new ArrayList<ConsumerRecord<String, String>>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
                var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            consumer.subscribe(List.of(args[1]));
            while (orders.size() < Integer.parseInt(args[3])) consumer.poll(Duration.ofSeconds(1)).forEach(orders::add);
            var values = orders.stream().map(order -> order.value().replaceAll("[^0-9]", "")).toList();
            var shipment = new ProducerRecord<String, String>(args[2], "{\"orders\":" + values + "}");
            describe(shipment.headers(), "ShipmentPlanned", "1", "shipping-java", orders);
            producer.send(shipment).get();
        }
    }
}
