import { Controller, Get, Header, NotFoundException, Param, Res } from '@nestjs/common';
import { Environment } from '../environment.js';
import { type HeaderResponse, setPageHeaders } from '../http/page.headers.js';
import { ClientLibrary } from './client.library.js';
import { type DashboardAsset, readDashboardAssets } from './dashboard.assets.js';
import { HOST_BUSINESS_TYPE, hostBusinessId } from './host.telemetry.js';

/** The address of this machine's telemetry, and whether pushing needs the publish key. */
export interface DemoHost {
  readonly businessType: string;
  readonly businessId: string;
  readonly isPublishKeyNeeded: boolean;
}

@Controller()
export class DashboardController {
  private readonly assets: ReadonlyMap<string, DashboardAsset>;

  constructor(
    private readonly environment: Environment,
    library: ClientLibrary,
  ) {
    this.assets = readDashboardAssets(library.modules);
  }

  @Get()
  page(@Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve('index.html', response);
  }

  @Get('assets/:name')
  asset(@Param('name') name: string, @Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve(name, response);
  }

  @Get('client/sdk/:name')
  clientModule(@Param('name') name: string, @Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve(`sdk/${name}`, response);
  }

  @Get('client/protocol/:name')
  protocolModule(@Param('name') name: string, @Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve(`protocol/${name}`, response);
  }

  @Get('demo/host')
  @Header('Cache-Control', 'no-store')
  host(): DemoHost {
    return {
      businessType: HOST_BUSINESS_TYPE,
      businessId: hostBusinessId(),
      isPublishKeyNeeded: this.environment.PUSH_PUBLISH_KEY !== undefined,
    };
  }

  private serve(name: string, response: HeaderResponse): string {
    const asset = this.assets.get(name);
    if (asset === undefined) throw new NotFoundException('the dashboard has no such file');
    setPageHeaders(response);
    response.setHeader('Content-Type', asset.contentType);
    return asset.text;
  }
}
