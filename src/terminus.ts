export { PushHealthIndicator } from './observe/push.health-indicator.js';
