import { setTimeout as sleep } from 'node:timers/promises';
import { serveCalls } from '../../bench/rpc.js';
import { Random } from '../../support/random.js';
import { AlarmFollower } from './alarm.follower.js';
import type { ClientsApi } from './clients.api.js';

let followers: AlarmFollower[] = [];
let random = new Random(0);

const api: ClientsApi = {
  start: async ({ ports, folder, profiles, seed }) => {
    random = new Random(seed);
    followers.push(...profiles.map((profile) => new AlarmFollower(profile, ports, folder, random)));
  },
  reset: async (withinMs) => {
    await Promise.all(
      followers.map(async (follower) => {
        await sleep(random.below(withinMs));
        follower.reset();
      }),
    );
    return Math.min(...followers.map(({ resets }) => resets));
  },
  behind: async (cursor) => followers.filter((follower) => !follower.hasReached(cursor)).map(({ name }) => name),
  end: async () => {
    await Promise.all(followers.map((follower) => follower.end()));
    followers = [];
  },
};
serveCalls(api);
