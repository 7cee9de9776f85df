"""A WebSocket client of Debian's python3-websockets: connects and prints what happens, one line of JSON each."""

import asyncio
import json
import sys

import websockets


def say(**event):
    print(json.dumps(event), flush=True)


async def main(url, subprotocols):
    try:
        connection = await websockets.connect(url, subprotocols=subprotocols or None)
    except websockets.InvalidStatusCode as refusal:
        say(refused=refusal.status_code)
        return
    say(open=connection.subprotocol or "")
    try:
        async for message in connection:
            say(message=message)
            if subprotocols and json.loads(message)["event"] == "mark":
                await connection.send(message)
    except websockets.ConnectionClosed:
        pass
    say(close=connection.close_code, reason=connection.close_reason)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
