"""BOOTSTRAP PREFIX COUNT GROUP FOLDER [CHANGELOG]: aiokafka and a dict; with a changelog, a write an event."""

import asyncio
import sys

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from trivial import TOPICS, Tally, judge


async def main(bootstrap, prefix, count, group, changelog):
    consumer = AIOKafkaConsumer(
        *(prefix + name for name in TOPICS),
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20, max_batch_size=256 * 1024)
    await consumer.start()
    await producer.start()
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    states, tally, done = {}, Tally(count), False
    while not done:
        for tp, batch in (await consumer.getmany(timeout_ms=500, max_records=2000)).items():
            for one in batch:
                if one.key is None:
                    continue
                states[one.key], rises = judge(states.get(one.key, []), decode(one.value))
                if changelog:
                    value = encode(states[one.key])
                    await producer.send(changelog, value, key=one.key, partition=tp.partition)
                done = tally.count(rises) or done
    await producer.flush()
    await consumer.commit()
    tally.say()
    await producer.stop()
    await consumer.stop()


if __name__ == "__main__":
    bootstrap, prefix, count, group, _folder, *more = sys.argv[1:]
    asyncio.run(main(bootstrap, prefix, int(count), group, more[0] if more else None))
