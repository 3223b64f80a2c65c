import java.io.FileReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes two orders, and what became of them, with Kafka's own client under OpenTelemetry's agent
 * and no header of its own: a record for each order, one for a batch, and one for each order with
 * the order's headers forwarded.
 */
final class Chain {
    private static final List<String> ORDERS = List.of("1", "2");

    private final Properties kafka = new Properties();
    private final String prefix;
    private final KafkaProducer<String, String> producer;

    private Chain(String settings, String prefix) throws Exception {
        this.prefix = prefix;
        try (FileReader file = new FileReader(settings)) {
            kafka.load(file);
        }
        producer = new KafkaProducer<>(kafka, new StringSerializer(), new StringSerializer());
    }

    private void send(String step, String key, Iterable<Header> headers) throws Exception {
        producer.send(new ProducerRecord<>(prefix + "." + step, null, key, "{\"" + step + "\":\"" + key + "\"}", headers)).get();
    }

    private KafkaConsumer<String, String> consumer(String step) {
        Properties own = new Properties();
        own.putAll(kafka);
        own.putAll(Map.of("group.id", prefix + "." + step, "auto.offset.reset", "earliest"));
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(own, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(prefix + ".orders"));
        return consumer;
    }

    private void each(String step, boolean forward) throws Exception {
        try (KafkaConsumer<String, String> consumer = consumer(step)) {
            for (int seen = 0; seen < ORDERS.size();) {
                for (ConsumerRecord<String, String> order : consumer.poll(Duration.ofSeconds(1))) {
                    send(step, order.key(), forward ? order.headers() : null);
                    seen++;
                }
            }
        }
    }

    private void batch() throws Exception {
        try (KafkaConsumer<String, String> consumer = consumer("batch")) {
            List<String> keys = new ArrayList<>();
            while (keys.size() < ORDERS.size()) {
                consumer.poll(Duration.ofSeconds(1)).forEach(order -> keys.add(order.key()));
            }
            for (String key : keys) {
                send("batch", key, null);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Chain chain = new Chain(args[0], args[1]);
        for (String key : ORDERS) {
            chain.send("orders", key, null);
        }
        chain.each("each", false);
        chain.each("forward", true);
        chain.batch();
        chain.producer.close();
    }
}
