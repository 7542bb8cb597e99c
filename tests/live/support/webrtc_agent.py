"""webrtc_agent.py ROLE FOLDER STUN_ADDRESS|-: a WebRTC peer (aiortc) that opens a data channel, or answers on one.

Offer and answer go through files in FOLDER. The one that offers sends a line on the channel and prints what comes back.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

ROLE, FOLDER, STUN = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


async def read(name: str) -> RTCSessionDescription:
    path, deadline = FOLDER / name, time.monotonic() + 15
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"no {name}")
        await asyncio.sleep(0.05)
    return RTCSessionDescription(**json.loads(path.read_text()))


def write(name: str, description: RTCSessionDescription) -> None:
    part = FOLDER / (name + ".part")
    part.write_text(json.dumps({"sdp": description.sdp, "type": description.type}))
    part.rename(FOLDER / name)


async def main() -> None:
    servers = [] if STUN == "-" else [RTCIceServer(urls=f"stun:{STUN}:3478")]
    peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
    done = asyncio.Event()
    if ROLE == "offer":
        channel = peer.createDataChannel("test")
        channel.on("open", lambda: channel.send("hello through the channel"))

        @channel.on("message")
        def came(text: str) -> None:
            print(text, flush=True)
            done.set()

        await peer.setLocalDescription(await peer.createOffer())
        write("offer", peer.localDescription)
        await peer.setRemoteDescription(await read("answer"))
        try:
            await asyncio.wait_for(done.wait(), 3 if STUN == "-" else 10)
        except asyncio.TimeoutError:
            print("nothing came", flush=True)
        await asyncio.wait_for(peer.close(), 3)
    else:
        @peer.on("datachannel")
        def opened(channel) -> None:
            channel.on("message", lambda text: channel.send("back: " + text))

        await peer.setRemoteDescription(await read("offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        write("answer", peer.localDescription)
        await asyncio.sleep(20)


asyncio.run(main())
